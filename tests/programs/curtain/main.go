// Command curtain takes in guests who all wait, and draws a curtain over some of them when it is told to: from then on
// a file is mapped where the runtime keeps them.
package main

import (
	"flag"
	"log"
	"os"
	"os/signal"
	"runtime/debug"
	"sync"
	"syscall"

	"example.com/parcels/internal/service"
)

const page = 4096

var (
	bell    = make(chan bool)
	settled sync.WaitGroup
	mutex   sync.Mutex
	seats   = map[uintptr]int{}
)

// self is the runtime's structure of the goroutine that calls.
func self() uintptr

func main() {
	guests := flag.Int("guests", 2000, "how many to take in")
	cloth := flag.String("cloth", "", "the file that is drawn over them at SIGUSR1")
	service.Start()
	// Nobody may look behind the curtain, the collector neither.
	debug.SetGCPercent(-1)
	drawn := make(chan os.Signal, 1)
	signal.Notify(drawn, syscall.SIGUSR1)
	settled.Add(*guests)
	for i := 0; i < *guests; i++ {
		go lodge()
	}
	settled.Wait()
	service.Held.Store(int64(*guests))
	service.Tell()
	<-drawn
	draw(*cloth)
	service.Held.Store(int64(*guests) + 1)
	service.Tell()
	select {}
}

func lodge() {
	seat := self() / page * page
	mutex.Lock()
	seats[seat]++
	mutex.Unlock()
	settled.Done()
	<-bell
}

// draw covers the page with most guests: no other goroutine is on it.
func draw(cloth string) {
	file, err := os.Open(cloth)
	if err != nil {
		log.Fatal(err)
	}
	var fullest uintptr
	for seat, guests := range seats {
		if guests > seats[fullest] || guests == seats[fullest] && seat > fullest {
			fullest = seat
		}
	}
	_, _, errno := syscall.RawSyscall6(syscall.SYS_MMAP, fullest, page, syscall.PROT_READ,
		syscall.MAP_SHARED|syscall.MAP_FIXED, file.Fd(), 0)
	if errno != 0 {
		log.Fatal(errno)
	}
}
