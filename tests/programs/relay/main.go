// Command relay answers one line per connection; with -call it is the one that calls.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"log"
	"net"
	"sync"

	"example.com/parcels/internal/service"
)

type desk struct {
	closing  chan struct{}
	mutex    sync.Mutex
	sessions map[net.Conn]string
}

func main() {
	call := flag.String("call", "", "address to call; where empty, serve")
	patient := flag.Bool("patient", false, "stay with a caller until the desk closes")
	service.Start()
	if *call != "" {
		service.Pace(func() { ask(*call) })
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	service.Say(map[string]string{"address": listener.Addr().String()})
	front := &desk{sessions: map[net.Conn]string{}}
	if *patient && service.Round() {
		front.closing = make(chan struct{})
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go front.attend(connection)
	}
}

func (d *desk) attend(connection net.Conn) {
	lines := bufio.NewScanner(connection)
	for lines.Scan() {
		fmt.Fprintf(connection, "got %s\n", lines.Text())
	}
	if !service.Round() {
		connection.Close()
		return
	}
	service.Held.Add(1)
	if d.closing != nil {
		<-d.closing
		connection.Close()
		return
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.sessions[connection] = lines.Text()
}

func ask(address string) {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		log.Print(err)
		return
	}
	defer connection.Close()
	fmt.Fprintln(connection, "hello")
	bufio.NewReader(connection).ReadString('\n')
}
