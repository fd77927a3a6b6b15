// Command toll notes who passes its gate and what he says; with -call it is the one who passes.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"time"

	"example.com/parcels/internal/errands"
	"example.com/parcels/internal/service"
	"example.com/parcels/internal/snapshot"
)

// page is how many passages are noted before somebody reads them.
const page = 1000

type passage struct {
	at    time.Time
	said  int
	words [472]byte
}

var passages []passage

func main() {
	call := flag.String("call", "", "address to call; where empty, serve")
	service.Start()
	if *call != "" {
		service.Pace(func() { pass(*call) })
	}
	snapshot.Take()
	go errands.Run()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	service.Say(map[string]string{"address": listener.Addr().String()})
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		note(connection)
	}
}

func note(connection net.Conn) {
	defer connection.Close()
	one := passage{at: time.Now()}
	one.said, _ = connection.Read(one.words[:])
	passages = append(passages, one)
	if !service.Round() && len(passages) == page {
		passages = passages[:0]
	}
	service.Held.Store(int64(len(passages)))
}

func pass(address string) {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		log.Print(err)
		return
	}
	defer connection.Close()
	fmt.Fprintln(connection, "one cart and two horses")
}
