// Command caravan hands a word from station to station: each waits for the next one, and the last one fetches it.
package main

import (
	"log"
	"net"

	"example.com/parcels/internal/service"
)

const stations = 800

func main() {
	service.Start()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	word := make(chan byte)
	go station(stations, word, listener.Addr().String())
	service.Held.Store(stations)
	// Who calls is let in and never answered.
	var guests []net.Conn
	go func() {
		for {
			guest, err := listener.Accept()
			if err != nil {
				log.Fatal(err)
			}
			guests = append(guests, guest)
		}
	}()
	<-word
}

func station(left int, word chan<- byte, address string) {
	if left == 0 {
		word <- fetch(address)
		return
	}
	next := make(chan byte)
	go station(left-1, next, address)
	word <- <-next
}

func fetch(address string) byte {
	if service.Round() {
		return <-make(chan byte)
	}
	line, err := net.Dial("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	defer line.Close()
	word := make([]byte, 1)
	if _, err := line.Read(word); err != nil {
		log.Print(err)
	}
	return word[0]
}
