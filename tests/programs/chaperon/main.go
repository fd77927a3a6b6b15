// Command chaperon runs another program that is refused one system call: chaperon NUMBER PROGRAM [ARGUMENT...]
package main

import (
	"log"
	"os"
	"runtime"
	"strconv"
	"syscall"
	"unsafe"
)

// instruction is struct sock_filter, and program struct sock_fprog.
type instruction struct {
	code    uint16
	yes     uint8
	no      uint8
	operand uint32
}

type program struct {
	length       uint16
	instructions *instruction
}

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: chaperon NUMBER PROGRAM [ARGUMENT...]")
	}
	number, err := strconv.ParseUint(os.Args[1], 10, 32)
	if err != nil {
		log.Fatal(err)
	}
	// The filter is that of this thread, which is the one that becomes the other program.
	runtime.LockOSThread()
	refuse(uint32(number))
	log.Fatal(syscall.Exec(os.Args[2], os.Args[2:], os.Environ()))
}

func refuse(number uint32) {
	const (
		load, jumpIfEqual, give = 0x20, 0x15, 0x06
		allow, fail             = 0x7fff0000, 0x00050000
		prSetNoNewPrivileges    = 38
		prSetSeccomp            = 22
		filterMode              = 2
	)
	filter := []instruction{
		{code: load},
		{code: jumpIfEqual, no: 1, operand: number},
		{code: give, operand: fail | uint32(syscall.EPERM)},
		{code: give, operand: allow},
	}
	whole := program{length: uint16(len(filter)), instructions: &filter[0]}
	call(prSetNoNewPrivileges, 1, 0)
	call(prSetSeccomp, filterMode, uintptr(unsafe.Pointer(&whole)))
}

func call(what, first, second uintptr) {
	if _, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, what, first, second, 0, 0, 0); errno != 0 {
		log.Fatal(errno)
	}
}
