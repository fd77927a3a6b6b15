// Command signer signs documents in sessions that must stay on one OS thread, as those of a smart card do.
package main

import (
	"crypto/sha256"
	"runtime"

	"example.com/parcels/internal/service"
)

const pooled = 8

type session struct {
	documents chan []byte
	signed    [sha256.Size]byte
}

func main() {
	service.Start()
	if service.Round() {
		var open []*session
		service.Pace(func() {
			one := begin()
			one.documents <- []byte("document")
			open = append(open, one)
		})
	}
	pool := make([]*session, pooled)
	for i := range pool {
		pool[i] = begin()
	}
	turn := 0
	service.Pace(func() {
		pool[turn%pooled].documents <- []byte("document")
		turn++
	})
}

func begin() *session {
	one := &session{documents: make(chan []byte)}
	go one.work()
	service.Held.Add(1)
	return one
}

func (s *session) work() {
	runtime.LockOSThread()
	for document := range s.documents {
		s.signed = sha256.Sum256(document)
	}
}
