// Command lobby lets guests in and says who of them waits at which door.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A seat is where a guest waits: a goroutine, and the descriptor that has to be ready before it goes on.
type seat struct {
	Goroutine  int `json:"goroutine"`
	Descriptor int `json:"descriptor"`
}

var seats = make(chan seat)

// A door has a descriptor.
type door interface {
	SyscallConn() (syscall.RawConn, error)
}

func main() {
	guests := flag.Int("guests", 20, "how many come")
	life := flag.Duration("for", time.Minute, "how long to live")
	flag.Parse()
	taken := 0
	sit := func(at door, wait func()) {
		taken++
		go func() {
			seats <- seat{self(), number(at)}
			wait()
		}()
	}
	listener := must(net.Listen("tcp", "127.0.0.1:0")).(*net.TCPListener)
	inside := make([]net.Conn, 0, *guests)
	for i := 0; i < *guests; i++ {
		i := i
		outside := must(net.Dial("tcp", listener.Addr().String()))
		guest := must(listener.Accept()).(*net.TCPConn)
		inside = append(inside, outside, guest)
		switch i % 4 {
		case 0:
			sit(guest, func() { listen(guest, i) })
		case 1:
			sit(guest, func() { talk(guest) })
		case 2:
			// Listens and talks at once.
			sit(guest, func() { listen(guest, 0) })
			sit(guest, func() { talk(guest) })
		case 3:
			// Has a door and waits for something else.
			go func() {
				<-make(chan bool)
				guest.Close()
			}()
		}
	}
	sit(listener, func() { listener.Accept() })
	box := must(net.ListenPacket("udp", "127.0.0.1:0")).(*net.UDPConn)
	sit(box, func() { box.ReadFrom(make([]byte, 64)) })
	reader, writer, err := os.Pipe()
	if err != nil {
		log.Fatal(err)
	}
	sit(reader, func() { reader.Read(make([]byte, 64)) })
	all := make([]seat, taken)
	for i := range all {
		all[i] = <-seats
	}
	if err := json.NewEncoder(os.Stdout).Encode(all); err != nil {
		log.Fatal(err)
	}
	time.Sleep(*life)
	runtime.KeepAlive(inside)
	runtime.KeepAlive(writer)
}

// listen reads what is never said, from so deep in the house.
//
//go:noinline
func listen(guest net.Conn, depth int) {
	if depth > 0 {
		listen(guest, depth-1)
		return
	}
	guest.Read(make([]byte, 64))
}

// talk writes until nobody takes any more.
func talk(guest net.Conn) {
	for {
		if _, err := guest.Write(make([]byte, 1<<16)); err != nil {
			return
		}
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}

func number(of door) (descriptor int) {
	connection := must(of.SyscallConn())
	if err := connection.Control(func(fd uintptr) { descriptor = int(fd) }); err != nil {
		log.Fatal(err)
	}
	return descriptor
}

// self is the number of the goroutine that asks.
func self() int {
	text := make([]byte, 64)
	text = text[:runtime.Stack(text, false)]
	words := strings.Fields(string(text))
	return must(strconv.Atoi(words[1]))
}
