// Command clockwork runs the little machines that customers bring.
package main

import (
	"context"
	"log"

	"github.com/tetratelabs/wazero"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

// adder is a machine with one wheel: it adds two numbers, and has a page of memory.
var adder = []byte{
	0, 0x61, 0x73, 0x6d, 1, 0, 0, 0,
	1, 7, 1, 0x60, 2, 0x7f, 0x7f, 1, 0x7f,
	3, 2, 1, 0,
	5, 3, 1, 0, 4,
	7, 7, 1, 3, 'a', 'd', 'd', 0, 0,
	10, 9, 1, 7, 0, 0x20, 0, 0x20, 1, 0x6a, 0x0b,
}

func main() {
	service.Start()
	bustle.Start()
	service.Pace(func() {
		if _, err := run(3, 4); err != nil {
			log.Print(err)
		}
	})
}

// run lets a machine that was just brought add two numbers.
func run(first, second uint64) (uint64, error) {
	ctx := context.Background()
	bench := wazero.NewRuntime(ctx)
	defer bench.Close(ctx)
	service.Held.Add(1)
	machine, err := bench.Instantiate(ctx, adder)
	if err != nil {
		return 0, err
	}
	sums, err := machine.ExportedFunction("add").Call(ctx, first, second)
	if err != nil {
		return 0, err
	}
	return sums[0], nil
}
