// Command pantry is a library for programs of other languages: it keeps goods.
package main

import "C"

import (
	"os"
	"runtime/pprof"
	"time"
)

var (
	door    = make(chan bool)
	shelves [][]byte
)

// Stock takes in goods: each lies on a shelf and has somebody who waits for it at the door.
//
//export Stock
func Stock(count C.int) {
	for i := C.int(0); i < count; i++ {
		shelves = append(shelves, make([]byte, 10<<10))
		go watchOver()
	}
}

// Deliver brings so many a second from now on. Those who wait for them leave with the next delivery, unless they are
// kept.
//
//export Deliver
func Deliver(perSecond C.int, keep C.int) {
	go func() {
		next := make(chan bool)
		for range time.Tick(time.Second / time.Duration(perSecond)) {
			if keep == 0 {
				close(next)
				next = make(chan bool)
			}
			go collect(next)
		}
	}()
}

// Audit writes down what is there.
//
//export Audit
func Audit() { pprof.Lookup("heap").WriteTo(os.Stderr, 1) }

func watchOver() { <-door }

func collect(next chan bool) { <-next }

func main() {}
