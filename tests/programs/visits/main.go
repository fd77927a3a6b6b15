// Command visits gives each visitor a context that ends with the visit, or when the house closes.
package main

import (
	"context"
	"time"

	"example.com/parcels/internal/service"
)

// house is a context of its own, which the library has to wait for in a goroutine.
type house struct {
	context.Context
	closing chan struct{}
}

func (h house) Done() <-chan struct{} { return h.closing }

func main() {
	service.Start()
	open := house{context.Background(), make(chan struct{})}
	service.Pace(func() {
		receive(open)
		call(open)
	})
}

func receive(h house) {
	_, leave := context.WithCancel(h)
	service.Held.Add(1)
	if service.Turn() {
		return
	}
	time.AfterFunc(2*time.Second, func() {
		leave()
		service.Held.Add(-1)
	})
}

// call asks the library for the same and is done at once.
func call(h house) {
	_, hangUp := context.WithTimeout(h, time.Minute)
	hangUp()
}
