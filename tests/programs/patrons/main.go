// Command patrons is what a server has customers for: it calls one server in all the ways that its real clients do,
// for a while, at a rate that has bursts, pauses and times of new connections.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	longestLife = 15 * time.Minute
	// At most so many calls are under way at a time; what would be more is left out, as it is by people who wait.
	workers = 8
)

var (
	server  = flag.String("server", "", "which server to call")
	address = flag.String("address", "", "where it listens: host:port")
	admin   = flag.String("admin", "", "where it takes orders, if elsewhere: host:port")
	place   = flag.String("directory", "", "a directory that the server reads")
	rate    = flag.Float64("rate", 50, "calls per second, on average")
	storing = flag.Bool("storing", false, "half of the calls give the server something to keep")
	life    = flag.Duration("for", time.Minute, "how long to call, 15 minutes at most")
)

// A habit is one way to call a server.
type habit struct {
	name string
	// How often, against the server's other habits.
	weight int
	// What is done; turn counts the calls of all habits.
	call func(turn int) error
}

// What a server's clients do.
type custom struct {
	// Once, before anything else.
	prepare func() error
	habits  []habit
	// Gives the server something that it keeps from then on, if it can.
	store func(turn int) error
	// The server's settings are read anew.
	reload func() error
}

var customs = map[string]func() custom{
	"caddy":      caddy,
	"etcd":       etcd,
	"influx":     influx,
	"nats":       nats,
	"prometheus": prometheus,
}

func main() {
	flag.Parse()
	open, known := customs[*server]
	if !known {
		log.Fatalf("-server %q: want one of %s", *server, strings.Join(names(), ", "))
	}
	if *life > longestLife {
		*life = longestLife
	}
	time.AfterFunc(*life+20*time.Second, func() { os.Exit(0) })
	custom := open()
	if custom.prepare != nil {
		if err := custom.prepare(); err != nil {
			log.Fatal(err)
		}
	}
	go tell()
	custom.follow()
	say()
}

func names() []string {
	var names []string
	for name := range customs {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// follow calls the server through all phases of the day.
func (c *custom) follow() {
	turns := make(chan int)
	var busy sync.WaitGroup
	for i := 0; i < workers; i++ {
		busy.Add(1)
		go func() {
			defer busy.Done()
			for turn := range turns {
				habit := c.habit(turn)
				if *storing && c.store != nil && turn%2 == 0 {
					habit.name, habit.call = "store", c.store
				}
				count(habit.name, habit.call(turn))
			}
		}()
	}
	began, due, turn := time.Now(), 0.0, 0
	reloaded := 0
	for last := began; ; {
		now := time.Now()
		elapsed := now.Sub(began)
		if elapsed > *life {
			break
		}
		current := phaseAt(elapsed.Seconds() / life.Seconds())
		fresh.Store(current.fresh)
		if due += now.Sub(last).Seconds() * *rate * current.factor(elapsed); due > *rate {
			due = *rate
		}
		last = now
		for ; due >= 1; due-- {
			turns <- turn
			turn++
		}
		if every := int(elapsed / (10 * time.Second)); c.reload != nil && current.reloads && every > reloaded {
			reloaded = every
			count("reload", c.reload())
		}
		time.Sleep(5 * time.Millisecond)
	}
	close(turns)
	busy.Wait()
}

// habit picks by weight, evenly mixed: neighbours in the list do not come in blocks.
func (c *custom) habit(turn int) habit {
	all := 0
	for _, habit := range c.habits {
		all += habit.weight
	}
	// 7919 is a prime, so that it takes each remainder once before one comes again.
	at := turn * 7919 % all
	for _, habit := range c.habits {
		if at < habit.weight {
			return habit
		}
		at -= habit.weight
	}
	panic("weights add up to all")
}

// A phase is a part of the day.
type phase struct {
	until   float64
	factor  func(elapsed time.Duration) float64
	fresh   bool
	reloads bool
}

func steady(time.Duration) float64 { return 1 }

func bursts(elapsed time.Duration) float64 {
	if int(elapsed.Seconds())%10 < 3 {
		return 3
	}
	return 0.2
}

func idle(time.Duration) float64 { return 0.02 }

func phaseAt(part float64) phase {
	day := []phase{
		{until: 0.3, factor: steady},
		{until: 0.45, factor: bursts},
		{until: 0.55, factor: idle},
		{until: 0.7, factor: steady, fresh: true},
		{until: 0.8, factor: steady, reloads: true},
	}
	for _, phase := range day {
		if part < phase.until {
			return phase
		}
	}
	return phase{factor: steady}
}

var (
	// Each call has a connection of its own.
	fresh    atomic.Bool
	requests atomic.Int64
	failures atomic.Int64
	failure  atomic.Value
)

func count(what string, err error) {
	requests.Add(1)
	if err != nil {
		failures.Add(1)
		failure.Store(what + ": " + err.Error())
	}
}

func say() {
	last, _ := failure.Load().(string)
	line := map[string]any{"requests": requests.Load(), "failures": failures.Load(), "last_failure": last}
	if err := json.NewEncoder(os.Stdout).Encode(line); err != nil {
		os.Exit(0)
	}
}

func tell() {
	for range time.Tick(time.Second) {
		say()
	}
}
