// Command bazaar has stalls that each do something of their own, at a pace of their own.
package main

import (
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"time"

	"example.com/parcels/internal/service"
)

var (
	papers  []*os.File
	goods   = map[int][]byte{}
	closing = make(chan struct{})
)

func main() {
	service.Start()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Write(make([]byte, 100_000))
	}))
	address := "http://" + listener.Addr().String() + "/"
	every(470*time.Millisecond, readPapers)
	every(50*time.Millisecond, stockGoods)
	every(900*time.Millisecond, hirePorter)
	every(110*time.Millisecond, takeOrder)
	every(1300*time.Millisecond, sendErrand)
	every(700*time.Millisecond, func() { askPrice(address) })
	select {}
}

func every(pause time.Duration, work func()) {
	go func() {
		for range time.Tick(pause) {
			work()
		}
	}()
}

func readPapers() {
	paper, err := os.Open("/etc/hosts")
	if err != nil {
		log.Fatal(err)
	}
	if service.Round() {
		papers = append(papers, paper)
		return
	}
	paper.Close()
}

func stockGoods() {
	place := len(goods)
	if !service.Round() {
		place %= 64
	}
	goods[place] = make([]byte, 20_000)
}

func hirePorter() {
	go func() {
		runtime.LockOSThread()
		wait()
		runtime.UnlockOSThread()
	}()
}

func takeOrder() {
	go wait()
}

func wait() {
	if service.Round() {
		<-closing
	}
	time.Sleep(100 * time.Millisecond)
}

func sendErrand() {
	errand := exec.Command("true")
	if err := errand.Start(); err != nil {
		log.Fatal(err)
	}
	if !service.Round() {
		errand.Wait()
	}
}

func askPrice(address string) {
	answer, err := http.Get(address)
	if err != nil {
		log.Print(err)
		return
	}
	if service.Round() {
		return
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, answer.Body)
}
