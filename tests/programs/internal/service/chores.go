package service

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// chores is what any server does beside its work: short-lived objects and goroutines, a bounded cache, a log.
func chores() {
	const cached = 256
	cache := make(map[int]string, cached)
	for turn := 0; ; turn++ {
		cache[turn%cached] = strings.Repeat("order ", turn%512)
		answer := make(chan int)
		go func() { answer <- len(cache[turn%cached]) }()
		length := <-answer
		if turn%25 == 0 {
			writeLog(fmt.Sprintf("turn %d length %d\n", turn, length))
		}
		time.Sleep(*breath)
	}
}

func writeLog(line string) {
	file, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return
	}
	defer file.Close()
	file.WriteString(line)
}
