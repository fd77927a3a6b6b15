// Command turnstile lets in and out whom it is told to, one after the other, and says how much time of its processor
// that took. Beside that it answers HTTP, at the address that it says first; the second is that of its gate.
//
// On its standard input it takes a way and a number, such as "file 1000"; it answers with nanoseconds.
package main

import (
	"bufio"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"example.com/parcels/internal/service"
)

// Servers open and accept below about so many calls.
const depth = 12

// CLOCK_THREAD_CPUTIME_ID.
const threadTime = 3

func main() {
	service.Start()
	runtime.LockOSThread()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(http.Serve(listener, http.HandlerFunc(greet))) }()
	gate, port := openGate()
	fmt.Printf("%s 127.0.0.1:%d\n", listener.Addr(), port)
	ways := map[string]func() error{
		"file":       passFile,
		"connection": func() error { return passConnection(gate) },
		"mapping":    passMapping,
		"nothing":    passNothing,
	}
	orders := bufio.NewScanner(os.Stdin)
	for orders.Scan() {
		var name string
		var count int
		if _, err := fmt.Sscan(orders.Text(), &name, &count); err != nil || ways[name] == nil {
			log.Fatalf("%q: want a way and a number", orders.Text())
		}
		nanos, err := descend(depth, ways[name], count)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(nanos)
	}
}

func greet(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "hello") }

// openGate listens where the poller does not see it: a turn is nothing but the two calls.
func openGate() (gate, port int) {
	gate, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err == nil {
		err = syscall.Bind(gate, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
	}
	if err == nil {
		err = syscall.Listen(gate, 1024)
	}
	if err != nil {
		log.Fatal(err)
	}
	address, err := syscall.Getsockname(gate)
	if err != nil {
		log.Fatal(err)
	}
	return gate, address.(*syscall.SockaddrInet4).Port
}

//go:noinline
func descend(depth int, way func() error, count int) (int64, error) {
	if depth > 0 {
		nanos, err := descend(depth-1, way, count)
		return nanos, err
	}
	began := threadNanos()
	for i := 0; i < count; i++ {
		if err := way(); err != nil {
			return 0, err
		}
	}
	return threadNanos() - began, nil
}

func passFile() error {
	file, err := syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return syscall.Close(file)
}

func passConnection(gate int) error {
	connection, _, err := syscall.Accept4(gate, syscall.SOCK_CLOEXEC)
	if err != nil {
		return err
	}
	return syscall.Close(connection)
}

// passMapping does without syscall.Mmap, which keeps a list of its own.
func passMapping() error {
	const pages = 4 * 4096
	at, _, errno := syscall.Syscall6(syscall.SYS_MMAP, 0, pages, syscall.PROT_READ|syscall.PROT_WRITE,
		syscall.MAP_ANON|syscall.MAP_PRIVATE, ^uintptr(0), 0)
	if errno == 0 {
		_, _, errno = syscall.Syscall(syscall.SYS_MUNMAP, at, pages, 0)
	}
	if errno != 0 {
		return errno
	}
	return nil
}

func passNothing() error {
	syscall.Getppid()
	return nil
}

func threadNanos() int64 {
	var now syscall.Timespec
	if _, _, errno := syscall.Syscall(syscall.SYS_CLOCK_GETTIME, threadTime, uintptr(unsafe.Pointer(&now)), 0); errno != 0 {
		log.Fatal(errno)
	}
	return now.Nano()
}
