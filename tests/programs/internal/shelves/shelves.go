// Package shelves keeps boxes of many kinds, each put there in a way of its own, and says what the runtime thinks of
// them.
package shelves

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

type box struct {
	label string
	size  int
	next  *box
}

type packer interface{ pack(size int) []byte }

type wooden struct{ prefix string }

type framed struct{ wooden }

var (
	boxes    []*box
	crates   [][]byte
	labels   = map[string]*box{}
	notes    []string
	makers   []func() int
	numbers  []*int
	pairs    []*[2]string
	nested   [][]byte
	released [][]byte
)

// Fill puts up everything that Serve is asked about afterwards.
func Fill() {
	for i := 0; i < 30000; i++ {
		boxes = append(boxes, newBox(i))
	}
	for i := 0; i < 60; i++ {
		crates = append(crates, make([]byte, 100<<10))
		crates = append(crates, framed{}.pack(20<<10+i))
		released = append(released, make([]byte, 300<<10))
	}
	for i := 0; i < 20000; i++ {
		labels["label "+strconv.Itoa(i)] = &box{size: i}
		notes = append(notes, strings.Repeat("note ", 10+i%10))
		makers = append(makers, maker(i))
		numbers = append(numbers, keep(i))
		pairs = append(pairs, keep([2]string{"left", "right"}))
	}
	for i := 0; i < 200; i++ {
		nested = append(nested, deep(i%60))
		nested = append(nested, throughInterface(&framed{}, 9000))
	}
	ready := make(chan bool)
	for i := 0; i < 100; i++ {
		go hold(i%20, ready)
	}
	for i := 0; i < 100; i++ {
		<-ready
	}
	released = nil
	churn()
}

func newBox(i int) *box { return inner(i) }

func inner(i int) *box { return &box{size: i} }

func maker(i int) func() int { return func() int { return i } }

func keep[T any](value T) *T {
	kept := new(T)
	*kept = value
	return kept
}

func (w wooden) pack(size int) []byte { return append([]byte(w.prefix), make([]byte, size)...) }

//go:noinline
func throughInterface(p packer, size int) []byte { return p.pack(size) }

func deep(depth int) []byte {
	if depth == 0 {
		return make([]byte, 6000)
	}
	return deep(depth - 1)
}

// hold keeps a stack of its own.
func hold(depth int, ready chan bool) {
	var room [1000]byte
	if depth > 0 {
		hold(depth-1, ready)
		return
	}
	ready <- true
	runtime.KeepAlive(&room)
	select {}
}

func churn() {
	for i := 0; i < 20000; i++ {
		_ = fmt.Sprint("passing by ", i, box{})
	}
}

// Serve answers the lines that come in until there are no more: "gc" collects garbage, "fill" puts up as much
// again, "stat" tells the numbers.
func Serve() {
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 4096), 4096)
	var stats runtime.MemStats
	answer := make([]byte, 0, 4096)
	for lines.Scan() {
		switch string(lines.Bytes()) {
		case "gc":
			// The second publishes in the heap profile what the first has found out.
			runtime.GC()
			runtime.GC()
			answer = append(answer[:0], "{}\n"...)
		case "fill":
			Fill()
			answer = append(answer[:0], "{}\n"...)
		case "stat":
			// Nothing is allocated from here on: the numbers stay true after they were told.
			runtime.ReadMemStats(&stats)
			answer = append(answer[:0], '{')
			for i, each := range [...]struct {
				name  string
				value uint64
			}{
				{"num_gc", uint64(stats.NumGC)},
				{"next_gc", stats.NextGC},
				{"heap_inuse", stats.HeapInuse},
				{"heap_idle", stats.HeapIdle},
				{"heap_released", stats.HeapReleased},
				{"heap_alloc", stats.HeapAlloc},
				{"stack_inuse", stats.StackInuse},
				{"total_alloc", stats.TotalAlloc},
				{"mem_profile_rate", uint64(runtime.MemProfileRate)},
			} {
				if i > 0 {
					answer = append(answer, ',')
				}
				answer = append(answer, '"')
				answer = append(answer, each.name...)
				answer = append(answer, '"', ':')
				answer = strconv.AppendUint(answer, each.value, 10)
			}
			answer = append(answer, "}\n"...)
		default:
			answer = append(answer[:0], "{\"error\":\"gc, fill or stat\"}\n"...)
		}
		os.Stdout.Write(answer)
	}
}
