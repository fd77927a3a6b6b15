//go:build !cgo

package main

func abroad() { <-never }
