// Command pulses reports the state of each delivery at intervals.
package main

import (
	"time"

	"example.com/parcels/internal/service"
)

const (
	interval = 100 * time.Millisecond
	reports  = 20
)

func main() {
	service.Start()
	service.Pace(func() {
		service.Held.Add(1)
		go attend()
	})
}

func attend() {
	defer service.Held.Add(-1)
	for sent := 0; service.Round() || sent < reports; sent++ {
		time.Sleep(interval)
	}
}
