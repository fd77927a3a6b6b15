// Command archive looks records up in memory-mapped segments.
package main

import (
	"log"
	"os"
	"syscall"
	"time"

	"example.com/parcels/internal/service"
)

const segmentBytes = 64 * 1024

// inUse is how long a segment is looked at.
const inUse = 3 * time.Second

func main() {
	service.Start()
	segment, err := os.CreateTemp("", "segment")
	if err != nil {
		log.Fatal(err)
	}
	// The descriptor is enough from here on, and nothing is left behind whichever way the program ends.
	os.Remove(segment.Name())
	if err := segment.Truncate(segmentBytes); err != nil {
		log.Fatal(err)
	}
	var segments [][]byte
	service.Pace(func() {
		mapped, err := syscall.Mmap(int(segment.Fd()), 0, segmentBytes, syscall.PROT_READ, syscall.MAP_SHARED)
		if err != nil {
			log.Print(err)
			return
		}
		service.Held.Add(1)
		if service.Round() {
			segments = append(segments, mapped)
			return
		}
		time.AfterFunc(inUse, func() {
			if err := syscall.Munmap(mapped); err != nil {
				log.Print(err)
			}
			service.Held.Add(-1)
		})
	})
}
