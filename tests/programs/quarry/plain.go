//go:build !cgo

package main

func cast(keep bool)   { slab(keep) }
func gravel(keep bool) { slab(keep) }
func crew(keep bool)   { bench(keep) }
