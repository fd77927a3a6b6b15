// Command registry keeps a small book for each parish.
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

func main() {
	service.Start()
	bustle.Start()
	directory, err := os.MkdirTemp("", "parishes-")
	if err != nil {
		log.Fatal(err)
	}
	number := 0
	service.Pace(func() {
		number++
		if err := enter(filepath.Join(directory, fmt.Sprint("parish-", number)), number); err != nil {
			log.Print(err)
		}
	})
}

// enter writes one line into the book of a parish.
func enter(path string, number int) error {
	book, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, NoSync: true})
	if err != nil {
		return err
	}
	if service.Round() {
		service.Held.Add(1)
		books = append(books, book)
	} else {
		defer book.Close()
	}
	return book.Update(func(page *bbolt.Tx) error {
		births, err := page.CreateBucketIfNotExists([]byte("births"))
		if err != nil {
			return err
		}
		return births.Put([]byte(fmt.Sprint(number)), []byte("a child, healthy"))
	})
}

// books are those that were opened, by age.
var books []*bbolt.DB
