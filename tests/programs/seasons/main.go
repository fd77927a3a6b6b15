// Command seasons does the same work all year, and what it has lying around changes with the season.
package main

import (
	"flag"
	"log"
	"math/rand"
	"runtime/debug"
	"time"

	"example.com/parcels/internal/service"
)

var season = flag.String("season", "spring", "which: spring, flood, storm, harvest, frost, fog, rush or fair")

func main() {
	flag.Usage = func() { flag.PrintDefaults() }
	service.Start()
	begin, known := map[string]func(){
		"spring":  spring,
		"flood":   flood,
		"storm":   storm,
		"harvest": harvest,
		"frost":   frost,
		"fog":     fog,
		"rush":    rush,
		"fair":    fair,
	}[*season]
	if !known {
		log.Fatalf("-season %q", *season)
	}
	begin()
}

const mebibyte = 1 << 20

// litter is where leaves end up; only the newest few lie there.
var litter [64][]byte

// leaves fall, so many MiB a second, and are swept away.
func leaves(perSecond int) {
	const leaf = 16 << 10
	for turn := 0; ; {
		for fallen := 0; fallen < perSecond*mebibyte/100; fallen += leaf {
			litter[turn%len(litter)] = make([]byte, leaf)
			turn++
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// spring has ever more of its beds planted: whichever is asked for and is not planted yet.
func spring() {
	const beds = 3000
	go leaves(20)
	planted := make(map[int][]byte, beds)
	service.Pace(func() {
		bed := rand.Intn(beds)
		if planted[bed] == nil {
			planted[bed] = make([]byte, 16<<10)
			service.Held.Add(1)
		}
	})
}

// water of so many MiB, in buckets.
func water(mebibytes int) [][]byte {
	buckets := make([][]byte, mebibytes*16)
	for i := range buckets {
		buckets[i] = make([]byte, mebibyte/16)
		for at := 0; at < len(buckets[i]); at += 4096 {
			buckets[i][at] = 1
		}
	}
	return buckets
}

var pond [][]byte

// flood lets the leaves pile up for long before they are swept.
func flood() {
	debug.SetGCPercent(400)
	pond = water(16)
	go leaves(25)
	select {}
}

// storm has much to do at once, and little ever after.
func storm() {
	pond = water(96)
	time.Sleep(3 * time.Second)
	pond = nil
	go leaves(1)
	select {}
}

var barn = make(map[int][8]int)

// harvest fills the barn to the roof and sells it all, and stores little after that.
func harvest() {
	for i := 0; i < 400_000; i++ {
		barn[i] = [8]int{i}
	}
	for i := range barn {
		delete(barn, i)
	}
	go leaves(10)
	for i := 0; ; i++ {
		barn[i%1000] = [8]int{i}
		time.Sleep(time.Millisecond)
	}
}

// frost has a stove that is lit when the house is full.
func frost() {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(96 * mebibyte)
	pond = water(16)
	go leaves(12)
	select {}
}
