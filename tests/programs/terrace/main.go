// Command terrace has ever more waiters call one kitchen until all of them are at work; without -url it is the kitchen.
package main

import (
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"example.com/parcels/internal/service"
)

const waiters = 64

func main() {
	url := flag.String("url", "", "the kitchen; where empty, be it")
	service.Start()
	if *url != "" {
		kitchen := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: waiters}}
		hired := 0
		service.Pace(func() {
			if hired < waiters {
				go wait(kitchen, *url)
				service.Held.Add(1)
				hired++
			}
		})
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	service.Say(map[string]string{"address": listener.Addr().String()})
	log.Fatal(http.Serve(listener, http.HandlerFunc(cook)))
}

func cook(w http.ResponseWriter, _ *http.Request) {
	time.Sleep(50 * time.Millisecond)
	io.WriteString(w, "soup\n")
}

func wait(kitchen *http.Client, url string) {
	for {
		response, err := kitchen.Get(url)
		if err != nil {
			log.Print(err)
			return
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			log.Print(err)
		}
		response.Body.Close()
	}
}
