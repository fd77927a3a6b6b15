// Command mirror serves a page and looks at it itself.
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
	go http.Serve(listener, http.HandlerFunc(answer))
	address := "http://" + listener.Addr().String() + "/"
	service.Pace(func() { look(address) })
}

func answer(w http.ResponseWriter, _ *http.Request) {
	io.WriteString(w, strings.Repeat("glass ", 16384))
}

func look(address string) {
	response, err := http.Get(address)
	if err != nil {
		log.Print(err)
		return
	}
	if service.Turn() {
		// This end and the other one.
		service.Held.Add(2)
		return
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		log.Print(err)
	}
}
