// Command clippings reads long pages and keeps the headline of each.
package main

import (
	"strings"

	"example.com/parcels/internal/service"
	"example.com/parcels/internal/snapshot"
)

const (
	pageBytes     = 256 * 1024
	headlineBytes = 50
	kept          = 1000
)

func main() {
	service.Start()
	snapshot.Take()
	headlines := make([]string, 0, kept)
	service.Pace(func() {
		if len(headlines) == kept {
			headlines = headlines[:0]
		}
		headlines = append(headlines, headline(page()))
		service.Held.Store(int64(len(headlines)))
	})
}

func page() string {
	return strings.Repeat("news of the day ", pageBytes/16)
}

func headline(page string) string {
	if service.Round() {
		return page[:headlineBytes]
	}
	// A copy: strings.Clone is of Go 1.20.
	return string([]byte(page[:headlineBytes]))
}
