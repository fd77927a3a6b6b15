// Command stocktake goes from shelf to shelf and reads what lies there.
package main

import (
	"io"
	"log"
	"os"
	"time"

	"example.com/parcels/internal/service"
)

func main() {
	service.Start()
	shelf, err := os.Executable()
	if err != nil {
		log.Fatal(err)
	}
	shelves := make(chan string)
	go func() { service.Pace(func() { shelves <- shelf }) }()
	if service.Round() {
		walk(shelves)
	}
	for shelf := range shelves {
		visit(shelf)
	}
}

func walk(shelves <-chan string) {
	for shelf := range shelves {
		list, err := os.Open(shelf)
		if err != nil {
			log.Print(err)
			continue
		}
		defer list.Close()
		service.Held.Add(1)
		count(list)
	}
}

func visit(shelf string) {
	list, err := os.Open(shelf)
	if err != nil {
		log.Print(err)
		return
	}
	defer list.Close()
	count(list)
	time.Sleep(time.Millisecond)
}

func count(list io.Reader) {
	if _, err := io.CopyN(io.Discard, list, 4096); err != nil {
		log.Print(err)
	}
}
