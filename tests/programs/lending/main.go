// Command lending lends crates to whoever has something to carry, and takes them back.
package main

import (
	"example.com/parcels/internal/errands"
	"example.com/parcels/internal/service"
	"example.com/parcels/internal/snapshot"
)

const crateBytes = 6000

type crate struct {
	content []byte
}

// pool has the crates that nobody uses.
var pool []*crate

func main() {
	service.Start()
	snapshot.Take()
	go errands.Run()
	service.Pace(carry)
}

func carry() {
	one := take()
	one.content = append(one.content, "a load"...)
	give(one)
	service.Held.Store(int64(len(pool)))
}

func take() *crate {
	last := len(pool) - 1
	if last < 0 || service.Round() {
		return &crate{content: make([]byte, 0, crateBytes)}
	}
	one := pool[last]
	pool = pool[:last]
	return one
}

func give(one *crate) {
	one.content = one.content[:0]
	pool = append(pool, one)
}
