// Command herald tells whoever asked for it that a parcel has arrived.
package main

import (
	"example.com/parcels/internal/errands"
	"example.com/parcels/internal/service"
)

const (
	formBytes = 40_000
	// open is how many orders wait for their parcel.
	open = 100
)

// office calls back.
type office struct {
	next  int
	calls map[int]func() int
}

func main() {
	service.Start()
	go errands.Run()
	front := &office{calls: map[int]func() int{}}
	service.Pace(func() { order(front) })
}

func order(front *office) {
	form := make([]byte, formBytes)
	copy(form, "to be delivered")
	number := front.onArrival(func() int { return len(form) + int(form[0]) })
	if !service.Round() {
		front.forget(number - open)
	}
	service.Held.Store(int64(len(front.calls)))
}

func (o *office) onArrival(call func() int) int {
	o.next++
	o.calls[o.next] = call
	return o.next
}

func (o *office) forget(number int) {
	delete(o.calls, number)
}
