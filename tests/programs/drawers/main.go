// Command drawers opens drawers when it is told to, a line of standard input each:
//
//	ways N   N of them, each reached on a way of its own through the cabinet
//	rush N   N of them one after the other and each shut again, by as many hands as there are processors
//
// It answers each line with "WORD gained N", N being what it has open more than before, and ends with its input.
package main

import (
	"bufio"
	"fmt"
	"log"
	"os"
	"runtime"
	"sync"
	"syscall"
)

// From the front of the cabinet to a drawer there are so many doors, each with a left and a right wing.
const doors = 14

func main() {
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var word string
		var count int
		if _, err := fmt.Sscan(lines.Text(), &word, &count); err != nil {
			log.Fatal(err)
		}
		gained := 0
		switch word {
		case "ways":
			for way := 0; way < count; way++ {
				front(way, doors)
			}
			gained = count
		case "rush":
			rush(count)
		default:
			log.Fatalf("%q: want ways or rush", word)
		}
		fmt.Printf("%s gained %d\n", word, gained)
	}
}

// The two calls are two places in the code: each way has return addresses that no other way has.
func front(way, left int) {
	if left == 0 {
		pull()
		return
	}
	if way&1 == 0 {
		front(way>>1, left-1)
	} else {
		front(way>>1, left-1)
	}
	runtime.KeepAlive(way)
}

func pull() int {
	drawer, err := syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		log.Fatal(err)
	}
	return drawer
}

func rush(count int) {
	var hands sync.WaitGroup
	number := runtime.NumCPU()
	for hand := 0; hand < number; hand++ {
		hands.Add(1)
		go func(mine int) {
			defer hands.Done()
			for i := 0; i < mine; i++ {
				syscall.Close(pull())
			}
		}(count / number)
	}
	hands.Wait()
}
