//go:build !cgo

package main

func measure() {}
