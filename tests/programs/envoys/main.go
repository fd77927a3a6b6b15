// Command envoys sends a messenger to an HTTP server for every question; without -url it is that server.
package main

import (
	"flag"
	"io"
	"log"
	"net"
	"net/http"

	"example.com/parcels/internal/service"
)

func main() {
	url := flag.String("url", "", "where to send them; where empty, serve")
	service.Start()
	if *url != "" {
		regular := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}
		service.Pace(func() {
			if service.Round() {
				consult(*url)
				return
			}
			ask(regular, *url)
		})
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	service.Say(map[string]string{"address": listener.Addr().String()})
	log.Fatal(http.Serve(listener, http.HandlerFunc(answer)))
}

func answer(w http.ResponseWriter, _ *http.Request) {
	io.WriteString(w, "noted\n")
}

func consult(url string) {
	messenger := &http.Client{Transport: &http.Transport{}}
	response, err := messenger.Get(url)
	if err != nil {
		log.Print(err)
		return
	}
	service.Held.Add(1)
	read(response)
}

func ask(messenger *http.Client, url string) {
	response, err := messenger.Get(url)
	if err != nil {
		log.Print(err)
		return
	}
	read(response)
}

func read(response *http.Response) {
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		log.Print(err)
	}
}
