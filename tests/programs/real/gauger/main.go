// Command gauger measures how busy each customer's line is.
package main

import (
	"math/rand"

	metrics "github.com/rcrowley/go-metrics"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

func main() {
	service.Start()
	bustle.Start()
	service.Pace(func() { observe(1 + rand.Intn(40)) })
}

// observe watches one line for the length of one call.
func observe(words int) float64 {
	registry := metrics.NewRegistry()
	said := metrics.NewRegisteredTimer("said", registry)
	if service.Round() {
		service.Held.Add(1)
	} else {
		defer registry.UnregisterAll()
		defer said.Stop()
	}
	for ; words > 0; words-- {
		said.Update(7)
	}
	return said.Mean()
}
