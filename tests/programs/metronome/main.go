// Command metronome waits for the beat, or for work.
package main

import (
	"flag"
	"time"

	"example.com/parcels/internal/errands"
	"example.com/parcels/internal/service"
	"example.com/parcels/internal/snapshot"
)

const beat = time.Hour

func main() {
	way := flag.String("way", "tick", "how to wait: tick, ticker or after")
	service.Start()
	snapshot.Take()
	go errands.Run()
	work := make(chan int, 1)
	ways := map[string]func(<-chan int){"tick": tick, "ticker": ticker, "after": after}
	wait := ways[*way]
	service.Pace(func() {
		work <- 1
		if !service.Round() {
			waitAndStop(work)
			return
		}
		wait(work)
		service.Held.Add(1)
	})
}

func tick(work <-chan int) {
	beats := time.Tick(beat)
	select {
	case <-beats:
	case <-work:
	}
}

func ticker(work <-chan int) {
	beats := time.NewTicker(beat)
	select {
	case <-beats.C:
	case <-work:
	}
}

func after(work <-chan int) {
	select {
	case <-time.After(beat):
	case <-work:
	}
}

func waitAndStop(work <-chan int) {
	beats := time.NewTicker(beat)
	defer beats.Stop()
	select {
	case <-beats.C:
	case <-work:
	}
}
