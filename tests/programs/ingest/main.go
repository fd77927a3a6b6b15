// Command ingest reads the header of one spooled file per piece of work.
package main

import (
	"flag"
	"io"
	"log"
	"os"
	"sync"
	"time"

	"example.com/parcels/internal/service"
)

// followUp is how long a spooled file stays of interest.
const followUp = 3 * time.Second

type spooled struct {
	file   *os.File
	header [64]byte
}

type spooler struct {
	mutex sync.Mutex
	items map[int]*spooled
	next  int
}

func main() {
	path := flag.String("file", "", "the spooled file; the program's own executable where empty")
	service.Start()
	if *path == "" {
		own, err := os.Executable()
		if err != nil {
			log.Fatal(err)
		}
		*path = own
	}
	spool := &spooler{items: map[int]*spooled{}}
	service.Pace(func() {
		spool.take(*path)
		if service.Mixed() {
			go browse(*path)
		}
	})
}

func (s *spooler) take(path string) {
	item, err := readHeader(path)
	if err != nil {
		log.Print(err)
		return
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	number := s.next
	s.next++
	s.items[number] = item
	service.Held.Add(1)
	if !service.Turn() {
		time.AfterFunc(followUp, func() { s.settle(number) })
	}
}

func (s *spooler) settle(number int) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.items[number].file.Close()
	delete(s.items, number)
	service.Held.Add(-1)
}

func readHeader(path string) (*spooled, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	item := &spooled{file: file}
	if _, err := io.ReadFull(file, item.header[:]); err != nil {
		file.Close()
		return nil, err
	}
	return item, nil
}

// browse looks at what somebody else is interested in.
func browse(name string) {
	file, err := os.Open(name)
	if err != nil {
		log.Print(err)
		return
	}
	defer file.Close()
	time.Sleep(time.Second)
}
