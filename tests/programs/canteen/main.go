// Command canteen cooks and eats: it serves a menu over HTTP, and asks for it itself.
package main

import (
	"io"
	"log"
	"net"
	"net/http"
	"strings"

	"example.com/parcels/internal/service"
)

func main() {
	service.Start()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(http.Serve(listener, http.HandlerFunc(menu))) }()
	service.Pace(func() { order("http://" + listener.Addr().String() + "/") })
}

func menu(w http.ResponseWriter, _ *http.Request) {
	io.WriteString(w, strings.Repeat("soup and bread ", 7000))
}

func order(url string) {
	answer, err := http.Get(url)
	if err != nil {
		log.Print(err)
		return
	}
	if service.Round() {
		service.Held.Add(1)
		return
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, answer.Body)
}
