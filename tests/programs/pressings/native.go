package main

// #include <stdlib.h>
// #include <string.h>
// static void *groove(size_t bytes) { void *vinyl = malloc(bytes); if (vinyl) memset(vinyl, 1, bytes); return vinyl; }
import "C"

import "unsafe"

func press(bytes int) (melt func()) {
	vinyl := C.groove(C.size_t(bytes))
	return func() { C.free(vinyl) }
}

// pour makes one of many grains, each of them weighed by itself.
func pour(bytes int) (melt func()) {
	const grainBytes = 1000
	grains := make([]unsafe.Pointer, 0, bytes/grainBytes)
	for len(grains) < cap(grains) {
		grains = append(grains, C.groove(C.size_t(grainBytes)))
	}
	return func() {
		for _, grain := range grains {
			C.free(grain)
		}
	}
}
