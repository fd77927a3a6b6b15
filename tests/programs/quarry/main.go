// Command quarry cuts stones in one of several ways, once it is told to begin.
package main

import (
	"flag"
	"log"
	"math/rand"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"time"

	"example.com/parcels/internal/service"
)

const stoneBytes = 200 * 1024

var ways = map[string]func(keep bool){
	"slab":   slab,
	"plan":   plan,
	"cast":   cast,
	"gravel": gravel,
	"rubble": order,
	"crew":   crew,
	"bench":  bench,
	"cart":   cart,
	"heap":   heap,
	"vein":   follow,
}

func main() {
	way := flag.String("way", "slab", "what to cut")
	begin := flag.String("begin", "", "the file whose appearance is the sign to begin")
	service.Start()
	for *begin != "" {
		if _, err := os.Stat(*begin); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if *way == "blast" {
		blast()
	}
	cut := ways[*way]
	service.Pace(func() {
		cut(service.Round())
		if service.Round() {
			service.Held.Add(1)
		}
	})
}

// slab takes memory from the system without a file.
func slab(keep bool) {
	stone, err := syscall.Mmap(-1, 0, stoneBytes, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		log.Fatal(err)
	}
	stone[0] = 1
	if !keep {
		syscall.Munmap(stone)
	}
}

// plan maps the program's own file.
func plan(keep bool) {
	file, err := os.Open("/proc/self/exe")
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	stone, err := syscall.Mmap(int(file.Fd()), 0, stoneBytes, syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil {
		log.Fatal(err)
	}
	if !keep {
		syscall.Munmap(stone)
	}
}

// bench sits a worker down who keeps a thread to himself.
func bench(keep bool) {
	done := make(chan struct{})
	go sit(done)
	if !keep {
		close(done)
	}
}

func sit(done chan struct{}) {
	runtime.LockOSThread()
	<-done
}

// cart sends somebody away who ends at once.
func cart(keep bool) {
	command := exec.Command("/bin/true")
	if err := command.Start(); err != nil {
		log.Fatal(err)
	}
	if !keep {
		command.Wait()
	}
}

var orders chan bool

// order has gravel made by one worker on a thread of its own.
func order(keep bool) {
	if orders == nil {
		orders = make(chan bool)
		go rubble()
	}
	orders <- keep
}

func rubble() {
	runtime.LockOSThread()
	for keep := range orders {
		gravel(keep)
	}
}

var stones [][]byte

// heap makes Go's own heap grow.
func heap(keep bool) {
	stone := make([]byte, stoneBytes)
	for i := range stone {
		stone[i] = 1
	}
	if keep {
		stones = append(stones, stone)
	}
}

const (
	veins     = 60
	veinPages = 256
)

var (
	opened   [veins][]byte
	followed int
)

// follow makes use of one more page of each vein, and gives them up together when they are exhausted.
func follow(bool) {
	for i := range opened {
		if followed == 0 {
			vein, err := syscall.Mmap(-1, 0, (veinPages+2)*pageBytes, syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
			if err != nil {
				log.Fatal(err)
			}
			opened[i] = vein
		}
		page := opened[i][(followed+1)*pageBytes:][:pageBytes]
		if err := syscall.Mprotect(page, syscall.PROT_READ|syscall.PROT_WRITE); err != nil {
			log.Fatal(err)
		}
		page[0] = 1
	}
	followed++
	if followed == veinPages {
		for _, vein := range opened {
			syscall.Munmap(vein)
		}
		followed = 0
	}
}

const (
	pageBytes = 4096
	sitePages = 4096
	blasts    = 20_000
	// site is where the system puts nothing of its own accord.
	site = uintptr(0x500000000000)
)

// blast maps, covers, cuts, moves and unmaps within one site, and keeps count of what it holds.
func blast() {
	dice := rand.New(rand.NewSource(7))
	var held [sitePages]bool
	mark := func(first, pages uintptr, is bool) {
		for page := first; page < first+pages; page++ {
			held[page] = is
		}
	}
	for i := 0; i < blasts; i++ {
		pages := uintptr(1 + dice.Intn(64))
		first := uintptr(dice.Intn(sitePages - 64))
		at := site + first*pageBytes
		switch dice.Intn(5) {
		case 0, 1:
			drill(at, pages*pageBytes)
			mark(first, pages, true)
		case 2, 3:
			address(syscall.Syscall(syscall.SYS_MUNMAP, at, pages*pageBytes, 0))
			mark(first, pages, false)
		case 4:
			if held[first] && first < sitePages/2 {
				target := uintptr(sitePages/2 + dice.Intn(sitePages/2-64))
				shift(at, site+target*pageBytes, pages*pageBytes)
				mark(first, 1, false)
				mark(target, pages, true)
			}
		}
		if i%200 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	count := int64(0)
	for _, is := range held {
		if is {
			count += pageBytes
		}
	}
	service.Held.Store(count)
	select {}
}

func drill(at, bytes uintptr) {
	const fixed = syscall.MAP_ANON | syscall.MAP_PRIVATE | syscall.MAP_FIXED
	address(syscall.Syscall6(syscall.SYS_MMAP, at, bytes, syscall.PROT_READ|syscall.PROT_WRITE, fixed, ^uintptr(0), 0))
}

// shift moves one page and lets it grow.
func shift(from, to, bytes uintptr) {
	const mayMoveFixed = 3
	address(syscall.Syscall6(syscall.SYS_MREMAP, from, pageBytes, bytes, mayMoveFixed, to, 0))
}

func address(result, _ uintptr, errno syscall.Errno) uintptr {
	if errno != 0 {
		log.Fatal(errno)
	}
	return result
}
