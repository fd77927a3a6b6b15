package main

import (
	"io"
	"log"
	"math"
	"net"
	"os"
	"syscall"
	"time"

	"example.com/parcels/internal/service"
)

// fog goes through a long book, page by page, and begins again at its end.
func fog() {
	const length = 512 * mebibyte
	book, err := os.CreateTemp("", "book-")
	if err != nil {
		log.Fatal(err)
	}
	os.Remove(book.Name())
	if err := book.Truncate(length); err != nil {
		log.Fatal(err)
	}
	pages, err := syscall.Mmap(int(book.Fd()), 0, length, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		log.Fatal(err)
	}
	sum := byte(0)
	for at := 0; ; at = (at + mebibyte/32) % length {
		for page := at; page < at+mebibyte/32; page += 4096 {
			sum += pages[page]
		}
		service.Held.Store(int64(at) + int64(sum))
		time.Sleep(time.Second / 128)
	}
}

// rush has as many hands as the hour of the day asks for.
func rush() {
	const day = 12 * time.Second
	began := time.Now()
	var hands []chan bool
	for {
		hour := 2 * math.Pi * float64(time.Since(began)%day) / float64(day)
		wanted := int(120 - 100*math.Cos(hour))
		for len(hands) < wanted {
			home := make(chan bool)
			hands = append(hands, home)
			go func() {
				scratch := make([]byte, 64<<10)
				for {
					select {
					case <-home:
						return
					case <-time.After(50 * time.Millisecond):
						scratch[0]++
					}
				}
			}()
		}
		for len(hands) > wanted {
			hands[len(hands)-1] <- true
			hands = hands[:len(hands)-1]
		}
		service.Held.Store(int64(len(hands)))
		time.Sleep(100 * time.Millisecond)
	}
}

var open []net.Conn

// fair has a thousand stalls that stay, and visitors that come and go.
func fair() {
	const stalls = 1000
	const visit = time.Second
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			guest, err := listener.Accept()
			if err != nil {
				log.Fatal(err)
			}
			go func() {
				defer guest.Close()
				io.Copy(io.Discard, guest)
			}()
		}
	}()
	enter := func() net.Conn {
		guest, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			log.Fatal(err)
		}
		return guest
	}
	for i := 0; i < stalls; i++ {
		open = append(open, enter())
	}
	service.Held.Store(stalls)
	service.Pace(func() {
		guest := enter()
		time.AfterFunc(visit, func() { guest.Close() })
	})
}
