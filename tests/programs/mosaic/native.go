//go:build cgo

package main

// static int seven(void) { return 7; }
import "C"

func init() { _ = C.seven() }
