// Command kiosk answers HTTP requests and confirms each in the background; with -url it is the one that asks.
package main

import (
	"flag"
	"io"
	"log"
	"net"
	"net/http"

	"example.com/parcels/internal/service"
)

type confirmations struct {
	done chan struct{}
}

func main() {
	url := flag.String("url", "", "what to ask for; where empty, serve")
	service.Start()
	if *url != "" {
		service.Pace(func() { ask(*url) })
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	service.Say(map[string]string{"address": listener.Addr().String()})
	log.Fatal(http.Serve(listener, http.HandlerFunc(handle)))
}

func handle(w http.ResponseWriter, _ *http.Request) {
	pending := &confirmations{done: make(chan struct{})}
	service.Held.Add(1)
	go pending.await()
	if !service.Round() {
		close(pending.done)
	}
	io.WriteString(w, "noted\n")
}

func (c *confirmations) await() {
	<-c.done
	service.Held.Add(-1)
}

func ask(url string) {
	response, err := http.Get(url)
	if err != nil {
		log.Print(err)
		return
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		log.Print(err)
	}
}
