// Package errands is what a busy server does beside its work: it answers requests of others, which leaves much garbage
// behind, remembers the latest of them, and writes a log.
package errands

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"log"
	"sort"
	"strconv"
	"time"
)

const (
	perSecond  = 40
	remembered = 200
)

var garbage = flag.Float64("garbage", 8, "megabytes a second that answers leave behind, about")

type request struct {
	Number int               `json:"number"`
	Path   string            `json:"path"`
	Labels map[string]string `json:"labels"`
	Lines  []string          `json:"lines"`
}

// Run answers requests for ever.
func Run() {
	logger := log.New(io.Discard, "errands ", log.LstdFlags)
	latest := make([][]byte, remembered)
	scratch := int(*garbage * 1e6 / perSecond / 2)
	for number := 0; ; number++ {
		text := answer(number, scratch)
		latest[number%remembered] = text
		if number%perSecond == 0 {
			logger.Printf("request %d took %d bytes", number, len(text))
		}
		time.Sleep(time.Second / perSecond)
	}
}

// answer decodes a request, sorts what it asks for, and encodes that. How much it needs for it varies.
func answer(number, scratch int) []byte {
	one := request{Number: number, Path: "/orders/" + strconv.Itoa(number), Labels: map[string]string{}}
	for i := 0; i < 20; i++ {
		one.Labels["label "+strconv.Itoa(i)] = strconv.Itoa(number * i)
		one.Lines = append(one.Lines, strconv.Itoa((number*7919+i*104729)%1000))
	}
	encoded, err := json.Marshal(one)
	if err != nil {
		log.Fatal(err)
	}
	var page bytes.Buffer
	for page.Len() < scratch*(1+number%3)/4 {
		page.Write(encoded)
	}
	var back request
	if err := json.Unmarshal(encoded, &back); err != nil {
		log.Fatal(err)
	}
	sort.Strings(back.Lines)
	return append([]byte(nil), page.Bytes()[:len(encoded)]...)
}
