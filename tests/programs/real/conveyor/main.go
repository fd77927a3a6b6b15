// Command conveyor takes what comes along belts that others put things on.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containerd/fifo"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

func main() {
	service.Start()
	bustle.Start()
	directory, err := os.MkdirTemp("", "belts-")
	if err != nil {
		log.Fatal(err)
	}
	number := 0
	service.Pace(func() {
		number++
		go func(path string) {
			if err := unload(path); err != nil {
				log.Print(err)
			}
		}(filepath.Join(directory, fmt.Sprint("belt-", number)))
	})
}

// unload waits a second for something to come along a belt.
func unload(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	waiting := ctx
	if service.Round() {
		waiting = context.Background()
		service.Held.Add(1)
	}
	belt, err := fifo.OpenFifo(waiting, path, syscall.O_RDONLY|syscall.O_CREAT|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	<-ctx.Done()
	if !service.Round() {
		return belt.Close()
	}
	return nil
}
