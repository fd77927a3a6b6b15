// Command roster calls people to their shifts, and asks around.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

var (
	stay  = make(chan bool)
	ready sync.WaitGroup
)

// main answers each line with how many goroutines it has started for it: "call N" for people who stay, "pass N" for
// people who come and go at once, "ask N" for questions, each over a connection of its own; "stop" ends.
func main() {
	fmt.Println(0)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || words[0] == "stop" {
			return
		}
		count, _ := strconv.Atoi(words[len(words)-1])
		switch words[0] {
		case "call":
			ready.Add(count)
			for i := 0; i < count; i++ {
				if i%3 == 0 {
					morning(i)
				} else {
					evening(i)
				}
			}
			ready.Wait()
		case "pass":
			for i := 0; i < count; i++ {
				passBy()
			}
		case "ask":
			address := office()
			for i := 0; i < count; i++ {
				ask(address)
			}
		}
		fmt.Println(count)
	}
}

//go:noinline
func morning(shift int) { call(shift % 40) }

//go:noinline
func evening(shift int) { call(30 + shift%10) }

// call waits on a stack of that depth before it starts anybody.
//
//go:noinline
func call(depth int) {
	if depth > 0 {
		call(depth - 1)
		return
	}
	go attend()
}

func attend() {
	ready.Done()
	<-stay
}

func passBy() {
	done := make(chan bool)
	go func() { grow(50); done <- true }()
	<-done
}

// grow needs a larger stack than a goroutine begins with.
func grow(depth int) int {
	var room [128]int
	if depth > 0 {
		room[depth] = grow(depth - 1)
	}
	return room[depth%128]
}

func office() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("yes")) }))
	return "http://" + listener.Addr().String()
}

// ask leaves its connection open.
func ask(address string) {
	client := http.Client{Transport: &http.Transport{}, Timeout: 20 * time.Second}
	answer, err := client.Get(address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	io.Copy(io.Discard, answer.Body)
	answer.Body.Close()
}
