//go:build !cgo

package main

func weigh() {}
