// A program in which many goroutines wait. What some of them wait for is kept by somebody, what others wait for is not.
//
// Both kinds wait in the same functions; away starts those that nobody can wake any more, keep the others. Says on
// standard output how many of each there are, as JSON, four times a second once all of them wait.
package main

import (
	"container/list"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// A Guest waits at a channel that lies inside of it.
type Guest struct {
	name string
	door chan int
	lock sync.Mutex
	all  sync.WaitGroup
	turn *sync.Cond
}

// A Hall keeps guests in many ways.
type Hall struct {
	byName map[string]*Guest
	row    []any
	lines  list.List
	shared sync.Map
	one    atomic.Pointer[Guest]
	queue  chan *Guest
	ends   []context.CancelFunc
	moved  []chan int
}

var (
	hall  = Hall{byName: map[string]*Guest{}, queue: make(chan *Guest, 4096)}
	ports sync.RWMutex
	count int
)

func receive(c chan int) { <-c }
func send(c chan int)    { c <- 1 }
func either(a, b chan int) {
	select {
	case <-a:
	case b <- 1:
	}
}
func lock(m *sync.Mutex)    { m.Lock(); count++ }
func read(m *sync.RWMutex)  { m.RLock(); count++ }
func all(w *sync.WaitGroup) { w.Wait() }
func turn(c *sync.Cond)     { c.L.Lock(); c.Wait(); c.L.Unlock() }
func each(c chan *Guest) {
	for guest := range c {
		count += len(guest.name)
	}
}
func late(c chan string)        { time.Sleep(50 * time.Millisecond); c <- "late" }
func done(ctx context.Context)  { <-ctx.Done() }
func both(mine, other chan int) { <-mine; other <- 1 }
func never()                    { var c chan int; <-c }
func nothing()                  { select {} }
func at(guest *Guest)           { <-guest.door }

func newGuest(name string) *Guest {
	guest := &Guest{name: name, door: make(chan int)}
	guest.turn = sync.NewCond(&guest.lock)
	return guest
}

// away starts goroutines that nobody can wake, and says how many.
func away() int {
	locked, readers := new(Guest), new(sync.RWMutex)
	locked.lock.Lock()
	readers.Lock()
	waited := newGuest("waited")
	waited.all.Add(1)
	ctx, _ := context.WithCancel(context.Background())
	one, other := make(chan int), make(chan int)
	go receive(make(chan int))
	go send(make(chan int))
	go either(make(chan int), make(chan int))
	go lock(&locked.lock)
	go read(readers)
	go all(&waited.all)
	go turn(newGuest("turn").turn)
	go each(make(chan *Guest))
	go late(make(chan string))
	go done(ctx)
	go both(one, other)
	go both(other, one)
	go never()
	go nothing()
	go at(newGuest("at"))
	return 15
}

// keep starts goroutines that somebody could wake, and says how many.
func keep(name string, listener net.Listener) int {
	guest := func() *Guest { return newGuest(name) }
	mapped, boxed, listed, shared, queued, single := guest(), guest(), guest(), guest(), guest(), guest()
	hall.byName[name] = mapped
	hall.row = append(hall.row, boxed)
	hall.lines.PushBack(listed)
	hall.shared.Store(name, shared)
	hall.queue <- queued
	hall.one.Store(single)
	hall.row = append(hall.row, func() { single.door <- 1 })
	go at(mapped)
	go receive(boxed.door)
	go at(listed)
	go at(shared)
	go receive(queued.door)
	go at(single)

	locked := guest()
	locked.lock.Lock()
	hall.row = append(hall.row, &locked.lock)
	go lock(&locked.lock)
	waited := guest()
	waited.all.Add(1)
	hall.row = append(hall.row, &waited.all)
	go all(&waited.all)
	turned := guest()
	hall.row = append(hall.row, turned.turn)
	go turn(turned.turn)
	go read(&ports)

	ctx, cancel := context.WithCancel(context.Background())
	hall.ends = append(hall.ends, cancel)
	go done(ctx)

	// Kept by a goroutine that sleeps, one that listens, a timer, a finalizer, and one that waits for somebody kept.
	asleep, listening, timed, finished, chained := make(chan int), make(chan int), make(chan int), guest(), make(chan int)
	go receive(asleep)
	go func() { time.Sleep(100 * time.Hour); asleep <- 1 }()
	go send(listening)
	go func() {
		connection, err := listener.Accept()
		if err == nil {
			connection.Close()
		}
		<-listening
	}()
	go receive(timed)
	time.AfterFunc(100*time.Hour, func() { timed <- 1 })
	runtime.SetFinalizer(finished, func(guest *Guest) { guest.door <- 1 })
	hall.row = append(hall.row, finished)
	go at(finished)
	go both(mapped.door, chained)
	go receive(chained)
	return 17
}

// turnOver moves channels from place to place without pause, and makes garbage.
func turnOver() {
	next := 0
	for {
		for turn := 0; turn < 64; turn++ {
			from, to := next%len(hall.moved), (next*31+7)%len(hall.moved)
			hall.moved[from], hall.moved[to] = hall.moved[to], hall.moved[from]
			next++
		}
		garbage := make([][]byte, 64)
		for index := range garbage {
			garbage[index] = make([]byte, 512)
		}
		count += len(garbage)
		time.Sleep(100 * time.Microsecond)
	}
}

func main() {
	rounds := flag.Int("rounds", 20, "so many of each")
	life := flag.Duration("for", 10*time.Minute, "how long it lives")
	flag.Parse()
	began := time.Now()
	ports.Lock()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	gone, kept := 0, 0
	for round := 0; round < *rounds; round++ {
		gone += away()
		kept += keep(fmt.Sprint("guest ", round), listener)
	}
	hall.moved = make([]chan int, 4096)
	for index := 0; index < 20; index++ {
		hall.moved[index] = make(chan int)
		go receive(hall.moved[index])
		kept++
	}
	go turnOver()
	time.Sleep(500 * time.Millisecond)
	runtime.GC()
	books := json.NewEncoder(os.Stdout)
	for tick := 0; ; tick++ {
		if books.Encode(map[string]int{"gone": gone, "kept": kept}) != nil || time.Since(began) > *life {
			return
		}
		time.Sleep(250 * time.Millisecond)
		if tick%8 == 7 {
			runtime.GC()
		}
	}
}
