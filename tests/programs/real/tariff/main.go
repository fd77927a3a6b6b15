// Command tariff tells prices, and remembers those of each customer for a while.
package main

import (
	"fmt"
	"time"

	"github.com/hashicorp/golang-lru/v2/expirable"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

func main() {
	service.Start()
	bustle.Start()
	shared := expirable.NewLRU[string, int](500, nil, time.Minute)
	number := 0
	service.Pace(func() {
		number++
		customer := fmt.Sprintf("customer %d", number)
		if service.Round() {
			quote(visit(), customer)
			service.Held.Add(1)
		} else {
			quote(shared, customer)
		}
	})
}

// visit gives a customer prices of their own.
func visit() *expirable.LRU[string, int] {
	return expirable.NewLRU[string, int](50, nil, time.Minute)
}

func quote(prices *expirable.LRU[string, int], customer string) int {
	for piece := 0; piece < 5; piece++ {
		prices.Add(fmt.Sprintf("%s, piece %d", customer, piece), piece*7)
	}
	price, _ := prices.Get(customer + ", piece 3")
	return price
}
