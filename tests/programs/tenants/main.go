// Command tenants follows the notice board of each house whose tenants ask for it, and reads other boards now and then.
package main

import (
	"io"
	"log"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"example.com/parcels/internal/service"
)

// asked is how long a board is of interest.
const asked = 5 * time.Second

func main() {
	service.Start()
	house, err := os.MkdirTemp("", "house-")
	if err != nil {
		log.Fatal(err)
	}
	board := filepath.Join(house, "board")
	if err := os.WriteFile(board, []byte("the stairs are cleaned on Monday"), 0o600); err != nil {
		log.Fatal(err)
	}
	go glance(board)
	service.Pace(func() { follow(house) })
}

// follow hears of what changes in a house.
func follow(house string) {
	number, err := syscall.InotifyInit1(syscall.IN_CLOEXEC | syscall.IN_NONBLOCK)
	if err != nil {
		log.Print(err)
		return
	}
	ear := os.NewFile(uintptr(number), "ear")
	if _, err := syscall.InotifyAddWatch(number, house, syscall.IN_CREATE); err != nil {
		log.Print(err)
	}
	service.Held.Add(1)
	go hear(ear)
	if !service.Round() {
		time.AfterFunc(asked, func() {
			ear.Close()
			service.Held.Add(-1)
		})
	}
}

func hear(ear io.Reader) {
	news := make([]byte, 512)
	for {
		if _, err := ear.Read(news); err != nil {
			return
		}
	}
}

// glance reads a board, over and over.
func glance(board string) {
	for {
		if paper, err := os.Open(board); err == nil {
			io.Copy(io.Discard, paper)
			paper.Close()
		}
		time.Sleep(60 * time.Millisecond)
	}
}
