package main

// #include <stdlib.h>
// #include <string.h>
// static void *groove(size_t bytes) { void *vinyl = malloc(bytes); if (vinyl) memset(vinyl, 1, bytes); return vinyl; }
import "C"

func press(bytes int) (melt func()) {
	vinyl := C.groove(C.size_t(bytes))
	return func() { C.free(vinyl) }
}
