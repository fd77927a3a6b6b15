//go:build !cgo

package main

func press(bytes int) (melt func()) { return sheet(bytes) }

func pour(bytes int) (melt func()) { return sheet(bytes) }
