// Command catalog keeps descriptions of goods by number.
package main

import (
	"fmt"
	"strings"

	"example.com/parcels/internal/service"
	"example.com/parcels/internal/snapshot"
)

// shelf is how many descriptions are enough for most requests.
const shelf = 500

var descriptions = map[int]string{}

func main() {
	service.Start()
	snapshot.Take()
	number := 0
	service.Pace(func() {
		number++
		remember(number)
	})
}

func remember(number int) {
	descriptions[number] = describe(number)
	if !service.Round() {
		delete(descriptions, number-shelf)
	}
	service.Held.Store(int64(len(descriptions)))
}

func describe(number int) string {
	return fmt.Sprintf("goods %d ", number) + strings.Repeat("well kept ", 800)
}
