// Command pressings presses records, one after the other, and plays each of them for a while.
package main

import (
	"flag"
	"log"
	"syscall"
	"time"

	"example.com/parcels/internal/service"
)

const (
	recordBytes = 320 * 1024
	// played is how long a record is played.
	played = 2 * time.Second
)

func main() {
	way := flag.String("way", "press", "how they are made: press, sheet or grains")
	service.Start()
	service.Pace(func() {
		service.Held.Add(recordBytes)
		make := press
		switch *way {
		case "sheet":
			make = sheet
		case "grains":
			make = pour
		}
		melt := make(recordBytes)
		if service.Round() {
			return
		}
		time.AfterFunc(played, func() {
			melt()
			service.Held.Add(-recordBytes)
		})
	})
}

func sheet(bytes int) (melt func()) {
	vinyl, err := syscall.Mmap(-1, 0, bytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		log.Print(err)
		return func() {}
	}
	for i := 0; i < len(vinyl); i += 4096 {
		vinyl[i] = 1
	}
	return func() {
		if err := syscall.Munmap(vinyl); err != nil {
			log.Print(err)
		}
	}
}
