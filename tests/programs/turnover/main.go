// Command turnover opens and closes descriptors of all kinds without pause, keeps some, and knows who opened those.
//
//	hold   everybody rests; it answers with a line "FD MADE COPIED" for each that it keeps, and with "held"
//	go     everybody goes on
//
// MADE are the return addresses of the calls that led to the opening of the file, innermost first, without the call
// that made it; COPIED those of the call that copied the descriptor, or "-".
package main

import (
	"bufio"
	"fmt"
	"log"
	"math/rand"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"unsafe"
)

const (
	workers   = 8
	mostKept  = 60
	oneInKept = 150
	deepest   = 24
	// Above these numbers each worker has some for itself.
	reserved, each = 600, 32
)

type kept struct {
	fd           int
	made, copied []uintptr
}

type worker struct {
	index int
	dice  *rand.Rand
	rest  *sync.RWMutex
	kept  []kept
}

func main() {
	var rest sync.RWMutex
	rest.Lock()
	all := make([]*worker, workers)
	for index := range all {
		one := &worker{index: index, dice: rand.New(rand.NewSource(int64(index))), rest: &rest}
		all[index] = one
		// A go statement with a method would put a call in between that the runtime does not tell of.
		go func() { one.work() }()
	}
	fmt.Println("ready")
	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		switch orders.Text() {
		case "hold":
			rest.Lock()
			out := bufio.NewWriter(os.Stdout)
			for _, worker := range all {
				for _, it := range worker.kept {
					fmt.Fprintln(out, it.fd, words(it.made), words(it.copied))
				}
			}
			fmt.Fprintln(out, "held")
			out.Flush()
		case "go":
			rest.Unlock()
		default:
			log.Fatalf("%q: want hold or go", orders.Text())
		}
	}
}

func words(pcs []uintptr) string {
	if len(pcs) == 0 {
		return "-"
	}
	var out []string
	for _, pc := range pcs {
		out = append(out, fmt.Sprintf("%x", pc))
	}
	return strings.Join(out, ",")
}

//go:noinline
func (w *worker) work() {
	for {
		w.rest.RLock()
		for i := 0; i < 20; i++ {
			w.descend(w.dice.Intn(deepest))
		}
		w.rest.RUnlock()
		runtime.Gosched()
	}
}

//go:noinline
func (w *worker) descend(left int) int {
	if left > 0 {
		return w.descend(left-1) + 1
	}
	return w.act() + 1
}

// The callers of act are the same for all calls in it.
//
//go:noinline
func (w *worker) act() int {
	keeps := len(w.kept) < mostKept && w.dice.Intn(oneInKept) == 0
	switch kind := w.dice.Intn(14); kind {
	case 11:
		w.copy(syscall.F_DUPFD_CLOEXEC, keeps)
	case 12:
		w.pass(keeps)
	case 13:
		if w.dice.Intn(100) == 0 {
			if err := exec.Command("/bin/true").Run(); err != nil {
				log.Fatal(err)
			}
		}
		if _, err := syscall.Open("/nonexistent", syscall.O_CLOEXEC, 0); err == nil {
			log.Fatal("opened what is not there")
		}
	default:
		for _, fd := range open(kind) {
			if keeps {
				w.kept = append(w.kept, kept{fd: fd, made: callers()})
			} else {
				syscall.Close(fd)
			}
		}
	}
	return 0
}

// callers gives those of act.
//
//go:noinline
func callers() []uintptr {
	pcs := make([]uintptr, 64)
	return pcs[:runtime.Callers(3, pcs)]
}

//go:noinline
func open(kind int) []int {
	switch kind {
	case 0:
		return one(syscall.SYS_EPOLL_CREATE1, syscall.O_CLOEXEC, 0)
	case 1:
		return one(syscall.SYS_EVENTFD2, 0, syscall.O_CLOEXEC)
	case 2:
		return one(syscall.SYS_TIMERFD_CREATE, 1, syscall.O_CLOEXEC)
	case 3:
		return one(syscall.SYS_INOTIFY_INIT1, syscall.O_CLOEXEC, 0)
	case 4:
		const memfdCreate = 319
		name := [...]byte{'t', 0}
		return one(memfdCreate, uintptr(unsafe.Pointer(&name)), 1)
	case 5:
		const pidfdOpen = 434
		return one(pidfdOpen, uintptr(os.Getpid()), 0)
	case 6:
		return one(syscall.SYS_SOCKET, syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC)
	case 7:
		pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
		check(err)
		return pair[:]
	case 8:
		var pair [2]int
		check(syscall.Pipe2(pair[:], syscall.O_CLOEXEC))
		return pair[:]
	default:
		fd, err := syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
		check(err)
		return []int{fd}
	}
}

func one(call, first, second uintptr) []int {
	fd, _, errno := syscall.Syscall(call, first, second, 0)
	if errno != 0 {
		log.Fatal(call, errno)
	}
	return []int{int(fd)}
}

// copy copies some to numbers of its own and closes those all at once; the first is kept where one is.
//
//go:noinline
func (w *worker) copy(command uintptr, keeps bool) {
	const closeRange = 436
	fd, lowest := open(9)[0], reserved+each*w.index
	for i := 0; i < 3; i++ {
		if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), command, uintptr(lowest)); errno != 0 {
			log.Fatal(errno)
		}
	}
	if _, _, errno := syscall.Syscall(closeRange, uintptr(lowest), uintptr(lowest+each-1), 0); errno != 0 {
		log.Fatal(errno)
	}
	if keeps {
		again, err := syscall.Dup(fd)
		check(err)
		syscall.CloseOnExec(again)
		w.kept = append(w.kept, kept{again, callersOfCaller(), callersOfCaller()})
	}
	syscall.Close(fd)
}

// pass sends one to itself; what arrives has another number and the same file.
//
//go:noinline
func (w *worker) pass(keeps bool) {
	fd, pair := open(9)[0], open(7)
	check(syscall.Sendmsg(pair[0], []byte{1}, syscall.UnixRights(fd), nil, 0))
	body, rights := make([]byte, 1), make([]byte, syscall.CmsgSpace(4))
	_, count, _, _, err := syscall.Recvmsg(pair[1], body, rights, syscall.MSG_CMSG_CLOEXEC)
	check(err)
	messages, err := syscall.ParseSocketControlMessage(rights[:count])
	check(err)
	arrived, err := syscall.ParseUnixRights(&messages[0])
	check(err)
	if keeps {
		w.kept = append(w.kept, kept{arrived[0], callersOfCaller(), callersOfCaller()})
	} else {
		syscall.Close(arrived[0])
	}
	syscall.Close(fd)
	syscall.Close(pair[0])
	syscall.Close(pair[1])
}

// callersOfCaller gives those of act too, one call further away.
//
//go:noinline
func callersOfCaller() []uintptr {
	pcs := make([]uintptr, 64)
	return pcs[:runtime.Callers(4, pcs)]
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
