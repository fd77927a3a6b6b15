// Command cloakroom takes something in for each guest and hands it out when the guest leaves, or when all hooks are
// taken; with -call it is a crowd of guests elsewhere.
package main

import (
	"flag"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"example.com/parcels/internal/service"
)

var (
	way   = flag.String("way", "call", "what is taken in: file, guest, nap, call, seat, child or coat")
	hooks = flag.Int("hooks", 0, "how many are taken in before the oldest is handed out; 0 for as many as come")
	stay  = flag.Duration("stay", 0, "when each is handed out; 0 for when there is no hook left")
	touch = flag.Duration("touch", 0, "how often one of them is used, in turn; 0 for never")
	call  = flag.String("call", "", "address of another cloakroom to call at, over and over")
	url   = flag.String("url", "", "where calls go; where empty, they come")
)

// One of the things that hang here.
type item struct {
	handOut func()
	use     func()
}

var (
	mutex sync.Mutex
	rail  []*item
)

func main() {
	service.Start()
	address := strings.Trim(strings.TrimPrefix(*url, "http://"), "/")
	if *call != "" {
		address = *call
		*way = "call"
		*touch = 500 * time.Millisecond
	}
	takes := map[string]func() *item{
		"file": file, "guest": guest, "nap": nap, "seat": seat, "child": child, "coat": coat,
		"call": func() *item { return visit(address) },
	}
	take, known := takes[*way]
	if !known {
		log.Fatalf("-way %q", *way)
	}
	if *way == "call" && address == "" {
		open()
	}
	if *touch > 0 {
		go useInTurn()
	}
	service.Pace(func() { hang(take()) })
}

// hang keeps one more, and hands out what has hung here long enough.
func hang(one *item) {
	if one == nil {
		return
	}
	mutex.Lock()
	defer mutex.Unlock()
	rail = append(rail, one)
	service.Held.Add(1)
	if service.Round() {
		return
	}
	if *stay > 0 {
		time.AfterFunc(*stay, handOutOldest)
	}
	if *hooks > 0 && len(rail) > *hooks {
		oldest := rail[0]
		rail = rail[1:]
		oldest.handOut()
		service.Held.Add(-1)
	}
}

func handOutOldest() {
	mutex.Lock()
	defer mutex.Unlock()
	oldest := rail[0]
	rail = rail[1:]
	oldest.handOut()
	service.Held.Add(-1)
}

func useInTurn() {
	for turn := 0; ; turn++ {
		time.Sleep(*touch)
		mutex.Lock()
		var one *item
		if turn >= len(rail) {
			turn = 0
		}
		if len(rail) > 0 {
			one = rail[turn]
		}
		mutex.Unlock()
		if one != nil && one.use != nil {
			one.use()
		}
	}
}

func file() *item {
	list, err := os.Open("/etc/hosts")
	if err != nil {
		log.Print(err)
		return nil
	}
	return &item{handOut: func() { list.Close() }}
}

func guest() *item {
	leave := make(chan bool)
	go wait(leave)
	return &item{handOut: func() { close(leave) }}
}

func wait(leave <-chan bool) { <-leave }

// nap ends by itself.
func nap() *item {
	go time.Sleep(*stay)
	return &item{handOut: func() {}}
}

func seat() *item {
	leave := make(chan bool)
	go sit(leave)
	return &item{handOut: func() { close(leave) }}
}

func sit(leave <-chan bool) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	<-leave
}

func child() *item {
	boy := exec.Command("/bin/true")
	if err := boy.Start(); err != nil {
		log.Print(err)
		return nil
	}
	return &item{handOut: func() { boy.Wait() }}
}

func coat() *item {
	cloth := make([]byte, 6000)
	for i := range cloth {
		cloth[i] = byte(i)
	}
	return &item{handOut: func() { cloth[0]++ }}
}

func visit(address string) *item {
	line, err := net.Dial("tcp", address)
	if err != nil {
		log.Print(err)
		return nil
	}
	answer := make([]byte, 8)
	return &item{
		handOut: func() { line.Close() },
		use: func() {
			if _, err := io.WriteString(line, "anybody?"); err != nil {
				log.Print(err)
				return
			}
			io.ReadFull(line, answer)
		},
	}
}

// open answers whoever calls, for as long as he stays.
func open() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	service.Say(map[string]string{"address": listener.Addr().String()})
	for {
		line, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go attend(line)
	}
}

func attend(line net.Conn) {
	defer line.Close()
	words := make([]byte, 8)
	for {
		if _, err := io.ReadFull(line, words); err != nil {
			return
		}
		if _, err := line.Write(words); err != nil {
			return
		}
	}
}
