// Command courier asks an HTTP server for its state, over and over; without -url it is that server.
package main

import (
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"example.com/parcels/internal/service"
)

func main() {
	url := flag.String("url", "", "what to ask for; where empty, serve")
	brief := flag.Bool("brief", false, "look at the begin of each answer only")
	service.Start()
	if *url != "" {
		if *brief {
			service.Pace(func() { peek(*url) })
		}
		service.Pace(func() {
			poll(*url)
			if service.Mixed() {
				go glimpse(*url)
			}
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
	io.WriteString(w, strings.Repeat("state ", 8192))
}

func poll(url string) {
	response, err := http.Get(url)
	if err != nil {
		log.Print(err)
		return
	}
	if service.Turn() {
		if response.StatusCode != http.StatusOK {
			log.Print(response.Status)
		}
		service.Held.Add(1)
		return
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		log.Print(err)
	}
}

var passing = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func glimpse(url string) {
	response, err := passing.Get(url)
	if err != nil {
		log.Print(err)
		return
	}
	defer response.Body.Close()
	time.Sleep(time.Second)
}

func peek(url string) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		log.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Print(err)
		return
	}
	if _, err := io.CopyN(io.Discard, response.Body, 5); err != nil {
		log.Print(err)
	}
	if service.Round() {
		service.Held.Add(1)
		return
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		log.Print(err)
	}
	response.Body.Close()
}
