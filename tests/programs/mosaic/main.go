// Command mosaic lays pictures of many small tiles, and files some of them.
package main

import (
	"flag"
	"strconv"
	"strings"
	"time"

	"example.com/parcels/internal/service"
)

// onShow is how many filed tiles are looked at.
const onShow = 3000

var (
	megabytes = flag.Int("draw", 500, "megabytes a second to draw with")
	painters  = flag.Int("painters", 2, "how many draw at once")
	large     = flag.Bool("large", false, "file whole pictures and not tiles")
)

type tile struct {
	label  string
	colour [3]uint8
	pixels []byte
	next   *tile
}

func main() {
	service.Start()
	for i := 0; i < *painters; i++ {
		go paint(*megabytes / *painters)
	}
	var files []*tile
	service.Pace(func() {
		filed := file(len(files))
		if service.Round() || len(files) < onShow {
			files = append(files, filed)
			service.Held.Add(1)
			return
		}
		// The oldest makes room.
		files[0] = nil
		files = append(files[1:], filed)
	})
}

func file(number int) *tile {
	pixels := 832
	if *large {
		pixels = 80_000
	}
	filed := &tile{label: "filed " + strconv.Itoa(number)}
	filed.pixels = make([]byte, pixels)
	return filed
}

// paint draws pictures of tiles of all sizes, a quarter of them as large as those that are filed.
func paint(megabytes int) {
	began := time.Now()
	var drawn uint64
	var text strings.Builder
	for turn := 0; ; turn++ {
		var picture *tile
		for i := 0; i < 128; i++ {
			size := 64 << (i % 6)
			if i%4 == 0 {
				size = 832
			}
			next := &tile{label: strconv.Itoa(turn), next: picture}
			next.pixels = make([]byte, size)
			picture = next
			drawn += uint64(size) + 80
		}
		if turn%64 == 0 {
			background := make([]byte, 256<<10)
			background[turn%len(background)] = 1
			drawn += uint64(len(background))
		}
		text.Reset()
		for ; picture != nil; picture = picture.next {
			text.WriteString(picture.label)
		}
		if due := time.Duration(drawn/uint64(megabytes)) * time.Microsecond; time.Since(began) < due-time.Millisecond {
			time.Sleep(due - time.Since(began))
		}
	}
}
