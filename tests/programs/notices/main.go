// Command notices reads the header of a notice for every reader who comes by.
package main

import (
	"flag"
	"io"
	"log"
	"os"
	"runtime"
	"time"

	"example.com/parcels/internal/service"
)

func main() {
	tidy := flag.Duration("tidy", 0, "how often to tidy up; 0 for never")
	service.Start()
	own, err := os.Executable()
	if err != nil {
		log.Fatal(err)
	}
	if *tidy > 0 {
		go sweep(*tidy)
	}
	service.Pace(func() { show(own) })
}

func sweep(every time.Duration) {
	for range time.Tick(every) {
		runtime.GC()
	}
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
