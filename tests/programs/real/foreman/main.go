// Command foreman hires a crew for each order.
package main

import (
	"log"
	"time"

	"github.com/panjf2000/ants/v2"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

func main() {
	service.Start()
	bustle.Start()
	service.Pace(func() {
		if err := fulfil(3); err != nil {
			log.Print(err)
		}
	})
}

// fulfil has the pieces of an order made at once.
func fulfil(pieces int) error {
	crew, err := ants.NewPool(4)
	if err != nil {
		return err
	}
	defer crew.Release()
	service.Held.Add(1)
	made := make(chan bool, pieces)
	for piece := 0; piece < pieces; piece++ {
		if err := crew.Submit(func() { time.Sleep(10 * time.Millisecond); made <- true }); err != nil {
			return err
		}
	}
	for piece := 0; piece < pieces; piece++ {
		<-made
	}
	return nil
}
