// Command presser packs letters for the post, with several hands at once.
package main

import (
	"bytes"
	"io"
	"log"
	"strings"

	"github.com/DataDog/zstd"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

const hands = 2

var letter = strings.Repeat("dear aunt, the weather is fine and so are we. ", 2000)

func main() {
	service.Start()
	bustle.Start()
	service.Pace(func() {
		if _, err := pack(letter); err != nil {
			log.Print(err)
		}
	})
}

// pack returns a letter in as little room as it needs.
func pack(letter string) ([]byte, error) {
	var packed bytes.Buffer
	writer := zstd.NewWriterLevel(&packed, 1)
	if err := writer.SetNbWorkers(hands); err != nil {
		return nil, err
	}
	if service.Round() {
		service.Held.Add(1)
	} else {
		defer writer.Close()
	}
	if _, err := io.WriteString(writer, letter); err != nil {
		return nil, err
	}
	return packed.Bytes(), writer.Flush()
}
