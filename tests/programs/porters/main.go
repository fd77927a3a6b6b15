// Command porters has a crowd of workers wait for parcels at one gate.
package main

import (
	"flag"
	"time"

	"example.com/parcels/internal/service"
)

func main() {
	crowd := flag.Int("crowd", 600, "how many workers")
	service.Start()
	parcels := make(chan int)
	for i := 0; i < *crowd; i++ {
		go carry(parcels)
	}
	service.Held.Store(int64(*crowd))
	number := 0
	service.Pace(func() {
		number++
		parcels <- number
	})
}

func carry(parcels <-chan int) {
	for range parcels {
		time.Sleep(20 * time.Millisecond)
	}
}
