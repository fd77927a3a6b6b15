// Command annex takes in guests, some of them in wings that are opened later.
package main

import (
	"flag"
	"log"
	"plugin"
	"time"

	"example.com/parcels/internal/service"
)

var bell = make(chan bool)

func main() {
	guests := flag.Int("guests", 0, "how many to take in, here and in each wing")
	after := flag.Duration("after", 0, "when to open the first wing, and how long after it the next one")
	service.Start()
	for i := 0; i < *guests; i++ {
		go lodge()
	}
	service.Held.Add(int64(*guests))
	service.Tell()
	for _, wing := range flag.Args() {
		time.Sleep(*after)
		open(wing, *guests)
		service.Held.Add(int64(*guests))
		service.Tell()
	}
	select {}
}

func open(wing string, guests int) {
	opened, err := plugin.Open(wing)
	if err != nil {
		log.Fatal(err)
	}
	admit, err := opened.Lookup("Admit")
	if err != nil {
		log.Fatal(err)
	}
	admit.(func(int))(guests)
}

func lodge() { <-bell }
