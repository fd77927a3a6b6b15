// Command divers sends divers down and waits for them to come up.
package main

import (
	"flag"
	"log"
	"syscall"
	"time"

	"example.com/parcels/internal/service"
)

// below is how long a diver stays down.
const below = 2 * time.Second

func main() {
	way := flag.String("way", "line", "how they wait for the signal: line or bell")
	service.Start()
	var rope [2]int
	if err := syscall.Pipe(rope[:]); err != nil {
		log.Fatal(err)
	}
	service.Pace(func() {
		service.Held.Add(1)
		if *way == "bell" {
			go descend(rope[0])
		} else {
			go dive(rope[0])
		}
		if !service.Round() {
			time.AfterFunc(below, func() { pull(rope[1]) })
		}
	})
}

func dive(rope int) {
	signal := make([]byte, 1)
	if _, err := syscall.Read(rope, signal); err != nil {
		log.Print(err)
	}
	service.Held.Add(-1)
}

func pull(rope int) {
	if _, err := syscall.Write(rope, []byte{1}); err != nil {
		log.Print(err)
	}
}
