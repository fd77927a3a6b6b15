// Command granary takes sacks in, one after the other, and keeps them all.
package main

import "example.com/parcels/internal/service"

const sackBytes = 10000

func main() {
	service.Start()
	var sacks [][]byte
	service.Pace(func() {
		sacks = append(sacks, sack())
		if service.Round() {
			weigh(sack())
		}
		service.Held.Add(sackBytes)
	})
}

func sack() []byte {
	content := make([]byte, sackBytes)
	for at := range content {
		content[at] = byte(at)
	}
	return content
}

// scales has the sack that was weighed last.
var scales []byte

func weigh(sack []byte) { scales = sack }
