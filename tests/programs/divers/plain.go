//go:build !cgo

package main

func descend(rope int) { dive(rope) }
