// Command lodgers takes in as many guests as it is told; all of them wait for the same bell.
package main

import (
	"flag"
	"log"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"example.com/parcels/internal/service"
)

var (
	bell    = make(chan bool)
	settled sync.WaitGroup
)

func main() {
	guests := flag.Int("guests", 0, "how many to take in")
	errands := flag.Bool("errands", false, "send children of its own kind on errands, one after the other")
	private := flag.Bool("private", false, "let nobody look in")
	sell := flag.String("sell", "", "a program to be replaced by, with the arguments that are left over")
	after := flag.Duration("after", 0, "when to be replaced")
	brief := flag.Bool("brief", false, "leave soon")
	service.Start()
	if *brief {
		time.Sleep(time.Duration(os.Getpid()%8) * 10 * time.Millisecond)
		return
	}
	if *private {
		hide()
	}
	settled.Add(*guests)
	for i := 0; i < *guests; i++ {
		go lodge()
	}
	settled.Wait()
	service.Held.Store(int64(*guests))
	service.Tell()
	if *sell != "" {
		time.Sleep(*after)
		log.Fatal(syscall.Exec(*sell, append([]string{*sell}, flag.Args()...), os.Environ()))
	}
	for *errands {
		send()
	}
	select {}
}

func lodge() {
	settled.Done()
	<-bell
}

// send forks and executes: for a moment the child has the memory of its parent.
func send() {
	child := exec.Command("/proc/self/exe", "-brief", "-still")
	if err := child.Run(); err != nil {
		log.Fatal(err)
	}
}

func hide() {
	const prSetDumpable = 4
	if _, _, errno := syscall.Syscall(syscall.SYS_PRCTL, prSetDumpable, 0, 0); errno != 0 {
		log.Fatal(errno)
	}
}
