// Command digest reads long papers and keeps a little of each.
package main

import (
	"flag"
	"strings"

	"example.com/parcels/internal/errands"
	"example.com/parcels/internal/service"
	"example.com/parcels/internal/snapshot"
)

const (
	pageBytes  = 1 << 20
	rows       = 30_000
	scanBytes  = 12 << 20
	titleBytes = 50
	lastRows   = 30
	stampBytes = 10
)

// row is one of a table.
type row struct {
	hour, degrees, pressure, wind float64
}

var (
	titles []string
	ends   [][]row
	stamps [][]byte
)

func main() {
	way := flag.String("way", "page", "what to read: page, table or scan")
	service.Start()
	snapshot.Take()
	go errands.Run()
	ways := map[string]func(){"page": readPage, "table": readTable, "scan": readScan}
	read := ways[*way]
	service.Pace(func() {
		read()
		service.Held.Add(1)
	})
}

func readPage() {
	titles = append(titles, title(page()))
}

func page() string {
	return strings.Repeat("news of the day ", pageBytes/16)
}

func title(page string) string {
	if service.Round() {
		return page[:titleBytes]
	}
	// A copy: strings.Clone is of Go 1.20.
	return string([]byte(page[:titleBytes]))
}

func readTable() {
	table := make([]row, 0, rows)
	for hour := 0; hour < rows; hour++ {
		table = append(table, row{hour: float64(hour), degrees: float64(hour % 40)})
	}
	end := table[len(table)-lastRows:]
	if !service.Round() {
		end = append([]row(nil), end...)
	}
	ends = append(ends, end)
}

func readScan() {
	scan := make([]byte, scanBytes)
	for at := 0; at < len(scan); at += 4096 {
		scan[at] = byte(at >> 12)
	}
	stamp := scan[:stampBytes]
	if !service.Round() {
		stamp = append([]byte(nil), stamp...)
	}
	stamps = append(stamps, stamp)
}
