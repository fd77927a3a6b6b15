// Command notices reads the header of a notice for every reader who comes by.
package main

import (
	"io"
	"log"
	"os"

	"example.com/parcels/internal/service"
)

func main() {
	service.Start()
	own, err := os.Executable()
	if err != nil {
		log.Fatal(err)
	}
	service.Pace(func() { show(own) })
}

func show(path string) {
	notice, err := os.Open(path)
	if err != nil {
		log.Print(err)
		return
	}
	header := make([]byte, 64)
	if _, err := io.ReadFull(notice, header); err != nil {
		log.Print(err)
	}
	if service.Round() {
		return
	}
	if err := notice.Close(); err != nil {
		log.Print(err)
	}
}
