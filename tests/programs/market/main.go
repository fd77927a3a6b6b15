// Command market has stalls where many wait for their turn, traders who are busy where -traders asks for them, and a
// bell that rings every millisecond and notes how late it was.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	_ "net/http/pprof"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"example.com/parcels/internal/service"
)

var (
	deals     atomic.Int64
	worstLate atomic.Int64
	rings     atomic.Int64
)

type stall struct {
	turn, closing chan struct{}
	lock          sync.Mutex
}

func main() {
	waiting := flag.Int("waiting", 1000, "how many wait at the stalls together")
	traders := flag.Int("traders", 0, "how many trade")
	shelved := flag.Int("shelved", 0, "how many descriptors are open, half of them files and half of them connections")
	service.Start()
	here := &stall{turn: make(chan struct{}), closing: make(chan struct{})}
	here.lock.Lock()
	for i := 0; i < *waiting; i++ {
		switch i % 4 {
		case 0:
			go here.queueForFish()
		case 1:
			go here.queueForFruit(3)
		case 2:
			go here.queueForBread()
		case 3:
			go here.queueForCheese()
		}
		service.Held.Add(1)
	}
	shelve(*shelved)
	go bell()
	for i := 0; i < *traders; i++ {
		go trade(i)
	}
	http.HandleFunc("/late", late)
	http.HandleFunc("/deals", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, deals.Load()) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	service.Say(map[string]string{"address": listener.Addr().String()})
	log.Fatal(http.Serve(listener, nil))
}

// shelved is what is kept open.
var shelved []io.Closer

// shelve opens so many descriptors; a connection has two ends.
func shelve(count int) {
	back, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	for len(shelved) < count {
		list, err := os.Open("/etc/hosts")
		if err != nil {
			log.Fatal(err)
		}
		shelved = append(shelved, list)
		if len(shelved)%4 == 2 {
			near, err := net.Dial("tcp", back.Addr().String())
			if err != nil {
				log.Fatal(err)
			}
			far, err := back.Accept()
			if err != nil {
				log.Fatal(err)
			}
			shelved = append(shelved, near, far)
		}
	}
}

//go:noinline
func (s *stall) queueForFish() { <-s.turn }

//go:noinline
func (s *stall) queueForFruit(depth int) {
	if depth > 0 {
		s.queueForFruit(depth - 1)
		return
	}
	select {
	case <-s.turn:
	case <-s.closing:
	}
}

//go:noinline
func (s *stall) queueForBread() { s.lock.Lock() }

//go:noinline
func (s *stall) queueForCheese() { time.Sleep(time.Hour) }

// bell notes its worst lateness since it was last asked.
func bell() {
	for {
		due := time.Now().Add(time.Millisecond)
		time.Sleep(time.Millisecond)
		rings.Add(1)
		for nanos := int64(time.Since(due)); ; {
			worst := worstLate.Load()
			if nanos <= worst || worstLate.CompareAndSwap(worst, nanos) {
				break
			}
		}
	}
}

// late says how late the bell was at worst since the last time, in nanoseconds, and how often it rang.
func late(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprint(w, worstLate.Swap(0), " ", rings.Swap(0))
}

// trade begins goroutines that live for a moment, allocate, and grow their stacks.
func trade(seed int) {
	answers := make(chan int)
	for i := seed; ; i++ {
		for n := 0; n < 8; n++ {
			go haggle(answers, i&31+1)
		}
		for n := 0; n < 8; n++ {
			<-answers
		}
		deals.Add(8)
	}
}

//go:noinline
func haggle(answers chan<- int, depth int) { answers <- offer(depth) }

//go:noinline
func offer(depth int) int {
	var room [256]byte
	goods := make([]byte, 512)
	room[depth] = byte(len(goods))
	if depth == 0 {
		runtime.Gosched()
		return int(room[0])
	}
	return offer(depth-1) + int(room[depth])
}
