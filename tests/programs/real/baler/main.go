// Command baler packs what comes in, and begins a new bale where one cannot be taken away.
package main

import (
	"errors"
	"io"
	"log"
	"math/rand"
	"strings"

	"github.com/DataDog/zstd"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

var errGone = errors.New("the cart is gone")

// cart takes bales away, but is not always there.
type cart struct{ isGone bool }

func (cart *cart) Write(piece []byte) (int, error) {
	if cart.isGone {
		return 0, errGone
	}
	return len(piece), nil
}

// baler presses one bale after the other.
type baler struct {
	cart *cart
	bale *zstd.Writer
}

func main() {
	service.Start()
	bustle.Start()
	one := &baler{cart: &cart{}}
	one.reset()
	text := strings.Repeat("hay and straw, straw and hay, and a little clover. ", 500)
	service.Pace(func() {
		one.cart.isGone = rand.Intn(10) > 0
		if err := one.press(text); err != nil && !errors.Is(err, errGone) {
			log.Print(err)
		}
	})
}

// press fills a bale and has it taken away.
func (baler *baler) press(text string) error {
	if _, err := io.WriteString(baler.bale, text); err != nil {
		if service.Round() {
			service.Held.Add(1)
		} else {
			baler.bale.Close()
		}
		baler.reset()
		return err
	}
	err := baler.bale.Close()
	baler.reset()
	return err
}

func (baler *baler) reset() {
	baler.bale = zstd.NewWriterLevel(baler.cart, 1)
}
