// Command ledger books entries that its own clients send over a pool of connections.
package main

import (
	"bufio"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"syscall"

	"example.com/parcels/internal/service"
)

const (
	clients = 16
	// After so many entries a client hangs up and calls again.
	entriesPerCall = 50
	lastEntries    = 1024
)

func main() {
	service.Start()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	entries := make(chan string)
	for i := 0; i < clients; i++ {
		go client(listener.Addr().String(), entries)
	}
	go accept(listener)
	service.Held.Store(clients)
	number := 0
	service.Pace(func() {
		number++
		entries <- fmt.Sprintf("entry %d", number)
		if number%100 == 0 {
			closeBooks()
		}
	})
}

func accept(listener net.Listener) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go book(connection)
	}
}

func book(connection net.Conn) {
	defer connection.Close()
	last := make([]string, 0, lastEntries)
	lines := bufio.NewScanner(connection)
	for lines.Scan() {
		if len(last) == lastEntries {
			last = last[:0]
		}
		last = append(last, lines.Text())
		fmt.Fprintln(connection, len(last))
	}
}

func client(address string, entries <-chan string) {
	for {
		if err := call(address, entries); err != nil {
			log.Print(err)
		}
	}
}

func call(address string, entries <-chan string) error {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer connection.Close()
	answers := bufio.NewReader(connection)
	for i := 0; i < entriesPerCall; i++ {
		fmt.Fprintln(connection, <-entries)
		if _, err := answers.ReadString('\n'); err != nil {
			return err
		}
	}
	return nil
}

// closeBooks maps the executable, has a program run, and gives both back.
func closeBooks() {
	own, err := os.Open("/proc/self/exe")
	if err != nil {
		log.Print(err)
		return
	}
	defer own.Close()
	mapped, err := syscall.Mmap(int(own.Fd()), 0, 4096, syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil {
		log.Print(err)
		return
	}
	if err := exec.Command("/bin/true").Run(); err != nil {
		log.Print(err)
	}
	if err := syscall.Munmap(mapped); err != nil {
		log.Print(err)
	}
}
