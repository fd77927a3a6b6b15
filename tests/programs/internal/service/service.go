// Package service is what the programs here share: a life that ends, ordinary work on the side, and a line every
// quarter of a second that says how many of its resource the program holds.
package service

import (
	"encoding/json"
	"flag"
	"log"
	"os"
	"runtime"
	"sync/atomic"
	"time"
)

const longestLife = 3 * time.Hour

var (
	rate   = flag.Float64("rate", 5, "pieces of work per second")
	life   = flag.Duration("for", 5*time.Minute, "how long to live, three hours at most")
	style  = flag.String("style", "square", "way of working: round or square")
	most   = flag.Int("most", 0, "stop working after so many pieces; 0 for never")
	tidy   = flag.Duration("tidy", 0, "how often to tidy up; 0 for whenever it is time")
	mix    = flag.Int("mix", 1, "of so many pieces of work one is done in that style, the others square, and others go on beside them")
	batch  = flag.Int("batch", 1, "how many pieces of work come together, at the same rate")
	lead   = flag.Duration("lead", 0, "how long to wait before the first piece of work")
	breath = flag.Duration("breath", 10*time.Millisecond, "how long to pause between chores")
	still  = flag.Bool("still", false, "neither chores nor a report: one line at most, and sleep")
)

// Held counts what the program holds. It is the truth that a test compares a diagnosis with.
var Held atomic.Int64

// Start reads the flags and begins the program's life, its side work and its report.
func Start() {
	flag.Parse()
	if *style != "round" && *style != "square" {
		log.Fatalf("-style %q: want round or square", *style)
	}
	if *mix < 1 {
		log.Fatalf("-mix %d: want at least 1", *mix)
	}
	if *batch < 1 {
		log.Fatalf("-batch %d: want at least 1", *batch)
	}
	if *life > longestLife {
		*life = longestLife
	}
	time.AfterFunc(*life, func() { os.Exit(0) })
	if *tidy > 0 {
		go sweep()
	}
	if !*still {
		go chores()
		go report()
	}
}

func sweep() {
	for range time.Tick(*tidy) {
		runtime.GC()
	}
}

// Tell prints how much the program holds.
func Tell() {
	Say(map[string]int64{"unix_nanos": time.Now().UnixNano(), "held": Held.Load()})
}

// Round says which of the two ways of working was asked for.
func Round() bool { return *style == "round" }

// Mixed says whether work of several styles was asked for.
func Mixed() bool { return *mix > 1 }

var turns atomic.Int64

// Turn says in which of the two ways the next piece of work is to be done, where styles may be mixed.
func Turn() bool { return Round() && turns.Add(1)%int64(*mix) == 0 }

// Pace calls step at the asked rate for ever. What was missed while the machine was busy is caught up, so that the
// rate over a window is the asked one. Whoever has nothing to do for seconds sleeps through them.
func Pace(step func()) {
	time.Sleep(*lead)
	began := time.Now()
	for done := 0.0; ; {
		for due := time.Since(began).Seconds() * *rate; done < due; done += float64(*batch) {
			if *most > 0 && done >= float64(*most) {
				select {}
			}
			for i := 0; i < *batch; i++ {
				step()
			}
		}
		rest := time.Duration(done / *rate * float64(time.Second)) - time.Since(began)
		if rest < time.Second {
			rest = 10 * time.Millisecond
		}
		time.Sleep(rest)
	}
}

// Say prints one JSON line.
func Say(line any) {
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		os.Exit(0)
	}
}

func report() {
	for {
		Tell()
		time.Sleep(250 * time.Millisecond)
	}
}
