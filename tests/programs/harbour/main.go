// Command harbour lets ten thousand boats wait in many ways, and lets its books be read over HTTP.
package main

import (
	"context"
	"log"
	"net"
	"net/http"
	_ "net/http/pprof"
	"runtime"
	"runtime/pprof"
	"sync"
	"syscall"
	"time"

	"example.com/parcels/internal/service"
)

const (
	boats = 800
	tugs  = 3
)

var (
	never  = make(chan int)
	locks  sync.Mutex
	moored sync.WaitGroup
	tide   = sync.NewCond(&sync.Mutex{})
)

type berth interface{ wait() }

type quay struct{ depth int }

func (quay) wait() { <-never }

type pier struct{ quay }

func receive()         { <-never }
func send(to chan int) { to <- 1 }
func forever()         { select {} }
func rest()            { time.Sleep(time.Hour) }
func join()            { moored.Wait() }

func choose() {
	select {
	case <-never:
	case <-time.After(time.Hour):
	}
}

func lock() {
	defer locks.Unlock()
	locks.Lock()
}

func listen() {
	tide.L.Lock()
	tide.Wait()
}

func descend(steps int) {
	if steps == 0 {
		<-never
	}
	descend(steps - 1)
}

//go:noinline
func outer(n int) int  { return middle(n) + 1 }
func middle(n int) int { return inner(n) + 1 }
func inner(n int) int  { return n + <-never }

func carry[T any](cargo T) T {
	<-never
	return cargo
}

func each(visit func(int)) {
	for i := 0; i < 3; i++ {
		visit(i)
	}
}

func held() {
	runtime.LockOSThread()
	<-never
}

func drain(from int) {
	var buffer [8]byte
	_, _ = syscall.Read(from, buffer[:])
}

func main() {
	service.Start()
	locks.Lock()
	moored.Add(1)
	for i := 0; i < boats; i++ {
		var where berth = &pier{}
		go receive()
		go send(make(chan int))
		go forever()
		go rest()
		go join()
		go choose()
		go lock()
		go listen()
		go descend(i % 12)
		go outer(i)
		go carry(i)
		go carry("sand")
		go where.wait()
		go func() { each(func(int) { <-never }) }()
	}
	for i := 0; i < tugs; i++ {
		var ends [2]int
		if err := syscall.Pipe(ends[:]); err != nil {
			log.Fatal(err)
		}
		go held()
		go drain(ends[0])
		go abroad()
	}
	labels := pprof.Labels("flag", "blue", "cargo", "sand")
	pprof.Do(context.Background(), labels, func(context.Context) { go receive() })

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(http.Serve(listener, nil)) }()
	time.Sleep(300 * time.Millisecond)
	runtime.GC()
	service.Say(map[string]string{"address": listener.Addr().String()})
	select {}
}
