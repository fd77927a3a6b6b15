// Command brokers asks a slow exchange for a quote and goes on when it takes too long.
package main

import (
	"time"

	"example.com/parcels/internal/service"
)

const (
	patience = 20 * time.Millisecond
	slowness = 60 * time.Millisecond
)

func main() {
	service.Start()
	service.Pace(func() { go quote() })
}

func quote() {
	room := 1
	if service.Round() {
		room = 0
	}
	answer := make(chan int, room)
	go consult(answer)
	select {
	case <-answer:
	case <-time.After(patience):
	}
}

func consult(answer chan<- int) {
	service.Held.Add(1)
	time.Sleep(slowness)
	answer <- 42
	service.Held.Add(-1)
}
