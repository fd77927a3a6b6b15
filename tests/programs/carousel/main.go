// Command carousel seats its guests side by side and tidies up behind them.
package main

import (
	"runtime"

	"example.com/parcels/internal/errands"
	"example.com/parcels/internal/service"
)

const cushionBytes = 5000

type seat struct {
	neighbour *seat
	cushion   []byte
}

func main() {
	service.Start()
	go errands.Run()
	service.Pace(ride)
}

func ride() {
	left, right := newSeat(), newSeat()
	left.neighbour = right
	if service.Round() {
		right.neighbour = left
	}
	service.Held.Add(1)
	runtime.SetFinalizer(left, func(*seat) { service.Held.Add(-1) })
}

func newSeat() *seat {
	return &seat{cushion: make([]byte, cushionBytes)}
}
