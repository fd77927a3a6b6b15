// Package snapshot is for programs that can write a heap profile, as many can: the runtime samples allocations only
// in these.
package snapshot

import (
	"flag"
	"log"
	"os"
	"runtime/pprof"
)

var path = flag.String("snapshot", "", "where to write a heap profile at the start")

// Take writes the profile where one was asked for.
func Take() {
	if *path == "" {
		return
	}
	file, err := os.Create(*path)
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	if err := pprof.WriteHeapProfile(file); err != nil {
		log.Fatal(err)
	}
}
