// Command ferryman calls other services, each behind a breaker of its own.
package main

import (
	"fmt"
	"log"

	"github.com/afex/hystrix-go/hystrix"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

func main() {
	service.Start()
	bustle.Start()
	number := 0
	service.Pace(func() {
		number++
		if err := cross(number); err != nil {
			log.Print(err)
		}
	})
}

// cross carries one passenger over.
func cross(passenger int) error {
	name := "crossing"
	if service.Round() {
		name = fmt.Sprintf("crossing of passenger %d", passenger)
		service.Held.Add(1)
	}
	return hystrix.Do(name, func() error { return nil }, nil)
}
