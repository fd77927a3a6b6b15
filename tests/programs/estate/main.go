// Command estate has many rooms and keeps things in each of them. A line on its standard input says how many things to
// put into which room; it answers with how many each room holds, and where the rooms are.
package main

import (
	"bufio"
	"container/list"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"
	"unsafe"
)

type Guest struct {
	Name, Room string
	Luggage    []byte
	Since      time.Time
	Host       *Host
}

type Host struct {
	Address string
	Port    int
}

type Hall struct {
	mu     sync.Mutex
	name   string
	guests map[string]*Guest
}

type Letter struct {
	Title string
	Pages []string
	N     int
}

type Token struct {
	Trace string
	Stamp [64]byte
	Notes map[string]string
}

type Link struct {
	next *Link
	host *Host
	pad  [3]int
}

type Task struct {
	Name string
	Data []byte
	Next *Task
}

type Wide struct {
	Rows [40]Host
	Tail *Task
}

type key int

var hall = &Hall{name: "main", guests: map[string]*Guest{}}
var byNumber = map[int]*Guest{}
var letters []*Letter
var chain = context.Background()
var slips [][]byte
var shared sync.Map
var queue = list.New()
var first *Link
var bells = map[string]func() int{}
var boxes = map[string]interface{}{}
var stack Hall
var line = make(chan *Task, 100000)
var wide = map[Host]Wide{}
var ended int

func guest(i int) *Guest {
	return &Guest{Name: strconv.Itoa(i), Luggage: make([]byte, 200), Host: &Host{Address: "10.0.0." + strconv.Itoa(i)}}
}

func (h *Hall) Enter(i int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.guests["guest-"+strconv.Itoa(i)] = guest(i)
}

func (h *Hall) Open() {
	h.mu.Lock()
	h.guests = make(map[string]*Guest)
	h.mu.Unlock()
}

func number(i int) { byNumber[i] = guest(i) }

func write(i int) {
	letters = append(letters, &Letter{Title: "l" + strconv.Itoa(i), Pages: []string{"a" + strconv.Itoa(i), "b"}, N: i})
}

func pass(i int) {
	chain = context.WithValue(chain, key(i), &Token{Trace: strconv.Itoa(i), Notes: map[string]string{"k": strconv.Itoa(i)}})
}

func later(i int) {
	t := &Task{Name: "task" + strconv.Itoa(i), Data: make([]byte, 300)}
	time.AfterFunc(24*time.Hour, func() { t.Data[0] = 1 })
}

func cut(i int) {
	b := make([]byte, 1<<16)
	b[5] = 1
	slips = append(slips, b[1000:1016])
}

func share(i int) { shared.Store("key"+strconv.Itoa(i), guest(i)) }

func enqueue(i int) { queue.PushFront(guest(i)) }

func link(i int) { first = &Link{next: first, host: &Host{Address: strconv.Itoa(i)}} }

func farewell(i int) {
	a := &Task{Name: strconv.Itoa(i), Data: make([]byte, 500)}
	b := &Task{Name: "b", Next: a}
	a.Next = b
	runtime.SetFinalizer(a, func(*Task) { ended++ })
}

func ring(i int) {
	g := guest(i)
	bells["h"+strconv.Itoa(i)] = func() int { return len(g.Luggage) }
}

func box(i int) { boxes[strconv.Itoa(i)] = Letter{Title: strconv.Itoa(i), N: i} }

func send(i int) { line <- &Task{Name: strconv.Itoa(i)} }

func widen(i int) { wide[Host{Port: i}] = Wide{Tail: &Task{Name: strconv.Itoa(i)}} }

var never = make(chan int)

func wait(i int, c chan int) {
	var kept []*Guest
	for k := 0; k < 10; k++ {
		kept = append(kept, guest(k))
	}
	<-c
	fmt.Println(kept[i%10].Name)
}

func sit(i int) { go wait(i, never) }

// at is where a variable lies. It is no use of the variable that tells anything of its type.
func at(p unsafe.Pointer) uint64 { return uint64(uintptr(p)) }

func main() {
	stack.Open()
	rooms := map[string]func(int){
		"hall": hall.Enter, "stack": stack.Enter, "byNumber": number, "letters": write, "chain": pass, "later": later,
		"slips": cut, "shared": share, "queue": enqueue, "first": link, "farewell": farewell, "bells": ring,
		"boxes": box, "line": send, "wide": widen, "sit": sit,
	}
	held := map[string]int{}
	answer := func() {
		places := map[string]uint64{
			"hall": at(unsafe.Pointer(&hall)), "byNumber": at(unsafe.Pointer(&byNumber)),
			"letters": at(unsafe.Pointer(&letters)), "chain": at(unsafe.Pointer(&chain)),
			"slips": at(unsafe.Pointer(&slips)), "queue": at(unsafe.Pointer(&queue)),
			"first": at(unsafe.Pointer(&first)), "bells": at(unsafe.Pointer(&bells)),
			"boxes": at(unsafe.Pointer(&boxes)), "line": at(unsafe.Pointer(&line)),
			"wide": at(unsafe.Pointer(&wide)), "stack.guests": at(unsafe.Pointer(&stack.guests)),
			"hall.guests": at(unsafe.Pointer(&hall.guests)),
		}
		out, _ := json.Marshal(map[string]interface{}{"held": held, "places": places})
		fmt.Println(string(out))
	}
	answer()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var room string
		var count int
		if n, _ := fmt.Sscan(in.Text(), &room, &count); n == 2 && rooms[room] != nil {
			for i := 0; i < count; i++ {
				rooms[room](held[room])
				held[room]++
			}
		}
		answer()
	}
}
