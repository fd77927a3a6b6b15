// Command queues hands work on along one of several lanes.
package main

import (
	"flag"
	"log"
	"sync"
	"time"

	"example.com/parcels/internal/service"
)

// handOver is how long work stays on a lane.
const handOver = 2 * time.Second

func main() {
	name := flag.String("lane", "channel", "channel, full, group or mutex")
	service.Start()
	lanes := map[string]func(){"channel": byChannel, "full": byFullChannel, "group": byGroup, "mutex": byMutex}
	lane, known := lanes[*name]
	if !known {
		log.Fatalf("-lane %q is unknown", *name)
	}
	service.Pace(func() {
		service.Held.Add(1)
		lane()
	})
}

func handedOver() { service.Held.Add(-1) }

func byChannel() {
	var work chan int
	if !service.Round() {
		work = make(chan int)
		time.AfterFunc(handOver, func() { work <- 1 })
	}
	go takeFrom(work)
}

func takeFrom(work <-chan int) {
	<-work
	handedOver()
}

func byFullChannel() {
	work := make(chan int, 1)
	work <- 1
	go putInto(work)
	if !service.Round() {
		time.AfterFunc(handOver, func() { <-work })
	}
}

func putInto(work chan<- int) {
	work <- 2
	handedOver()
}

func byGroup() {
	group := &sync.WaitGroup{}
	group.Add(1)
	go waitFor(group)
	if !service.Round() {
		time.AfterFunc(handOver, group.Done)
	}
}

func waitFor(group *sync.WaitGroup) {
	group.Wait()
	handedOver()
}

func byMutex() {
	mutex := &sync.Mutex{}
	mutex.Lock()
	go enter(mutex)
	if !service.Round() {
		time.AfterFunc(handOver, mutex.Unlock)
	}
}

func enter(mutex *sync.Mutex) {
	mutex.Lock()
	defer mutex.Unlock()
	handedOver()
}
