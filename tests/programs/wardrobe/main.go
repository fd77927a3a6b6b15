// Command wardrobe puts away as much as it is told, and then does its chores.
package main

import (
	"flag"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"example.com/parcels/internal/service"
)

const mebibyte = 1 << 20

var (
	files []*os.File
	conns []net.Conn
	boxes [][]byte
)

func main() {
	kind := flag.String("kind", "files", "what to put away")
	count := flag.Int("count", 0, "how much of it at once")
	place := flag.String("place", "", "a directory for files of its own")
	service.Start()
	put := map[string]func(int){
		"files":    open,
		"watchers": watchers,
		"callers":  call,
		"workers":  work,
		"pages":    pages,
		"boxes":    keep,
		"blanks":   blank,
		"papers":   func(n int) { papers(*place, n) },
	}[*kind]
	if put == nil {
		log.Fatalf("-kind %q is not known", *kind)
	}
	put(*count)
	service.Held.Store(int64(*count))
	service.Tell()
	if service.Round() {
		service.Pace(func() {
			put(1)
			service.Held.Add(1)
		})
	}
	if *kind == "boxes" {
		service.Pace(unpack)
	}
	select {}
}

func open(n int) {
	for i := 0; i < n; i++ {
		file, err := os.Open("/etc/hostname")
		if err != nil {
			log.Fatal(err)
		}
		files = append(files, file)
	}
}

// watchers are as many instances, each of which watches one directory.
func watchers(n int) {
	for i := 0; i < n; i++ {
		fd, err := syscall.InotifyInit1(syscall.IN_CLOEXEC)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := syscall.InotifyAddWatch(fd, "/etc", syscall.IN_CREATE); err != nil {
			log.Fatal(err)
		}
	}
}

func call(n int) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go answer(listener)
	for i := 0; i < n; i++ {
		conn, err := net.Dial("tcp4", listener.Addr().String())
		if err != nil {
			log.Fatal(err)
		}
		conns = append(conns, conn)
	}
}

func answer(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() { _, _ = io.Copy(io.Discard, conn) }()
	}
}

// work starts goroutines that keep their threads.
func work(n int) {
	started := make(chan bool)
	for i := 0; i < n; i++ {
		go func() {
			runtime.LockOSThread()
			started <- true
			select {}
		}()
	}
	for i := 0; i < n; i++ {
		<-started
	}
}

// pages are mappings of one page each, of which no two neighbours can be joined.
func pages(n int) {
	for i := 0; i < n; i++ {
		protection := syscall.PROT_READ
		if i%2 == 1 {
			protection |= syscall.PROT_WRITE
		}
		if _, err := syscall.Mmap(-1, 0, os.Getpagesize(), protection, syscall.MAP_ANON|syscall.MAP_PRIVATE); err != nil {
			log.Fatal(err)
		}
	}
}

// keep fills as many mebibytes.
func keep(n int) {
	for i := 0; i < n; i++ {
		boxes = append(boxes, filled())
	}
}

func filled() []byte {
	box := make([]byte, mebibyte)
	for at := range box {
		box[at] = byte(at)
	}
	return box
}

// unpack fills a box and keeps nothing of it.
func unpack() {
	if filled()[mebibyte-1] != 255 {
		log.Fatal("a box is not full")
	}
}

// blank keeps boxes in which nothing was ever put.
func blank(n int) {
	for i := 0; i < n; i++ {
		boxes = append(boxes, make([]byte, 100_000))
	}
}

// papers writes files of a mebibyte each.
func papers(place string, n int) {
	paper := filled()
	for i := 0; i < n; i++ {
		if err := os.WriteFile(filepath.Join(place, strconv.Itoa(i)), paper, 0o600); err != nil {
			log.Fatal(err)
		}
	}
}
