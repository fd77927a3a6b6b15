// Command unpacker looks at the beginning of what was sent tightly packed.
package main

import (
	"bytes"
	"io"
	"log"
	"strings"

	"github.com/klauspost/compress/zstd"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

func main() {
	service.Start()
	bustle.Start()
	packer, err := zstd.NewWriter(nil)
	if err != nil {
		log.Fatal(err)
	}
	var packed bytes.Buffer
	for part := 0; part < 40; part++ {
		packed.Write(packer.EncodeAll([]byte(strings.Repeat("cups wrapped in paper, ", 30000)), nil))
	}
	service.Pace(func() {
		if _, err := label(packed.Bytes()); err != nil {
			log.Print(err)
		}
	})
}

// label reads what stands at the beginning.
func label(packed []byte) (string, error) {
	parcel, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(2))
	if err != nil {
		return "", err
	}
	if service.Round() {
		service.Held.Add(1)
	} else {
		defer parcel.Close()
	}
	text := make([]byte, 100)
	_, err = io.ReadFull(parcel, text)
	return string(text), err
}
