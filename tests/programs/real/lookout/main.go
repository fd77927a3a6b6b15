// Command lookout watches the harbour over lines that the harbour keeps open.
package main

import (
	"flag"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

func main() {
	url := flag.String("url", "", "address of the harbour; where empty, be it")
	service.Start()
	if *url == "" {
		serve()
	}
	bustle.Start()
	address := strings.Replace(*url, "http://", "ws://", 1)
	service.Pace(func() {
		if _, err := sight(address); err != nil {
			log.Print(err)
		}
	})
}

// sight tells the next ship that comes in.
func sight(address string) (string, error) {
	line, _, err := websocket.DefaultDialer.Dial(address, nil)
	if err != nil {
		return "", err
	}
	ships := make(chan string, 1)
	go listen(line, ships)
	if service.Round() {
		service.Held.Add(1)
	} else {
		defer line.Close()
	}
	return <-ships, nil
}

// listen hears all that is said, and passes on what is wanted.
func listen(line *websocket.Conn, ships chan<- string) {
	for {
		_, ship, err := line.ReadMessage()
		if err != nil {
			return
		}
		select {
		case ships <- string(ship):
		default:
		}
	}
}

func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	service.Say(map[string]string{"address": listener.Addr().String()})
	upgrader := websocket.Upgrader{}
	log.Fatal(http.Serve(listener, http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		line, err := upgrader.Upgrade(response, request, nil)
		if err != nil {
			return
		}
		defer line.Close()
		for line.WriteMessage(websocket.TextMessage, []byte("a brig")) == nil {
			time.Sleep(400 * time.Millisecond)
		}
	})))
}
