//go:build go1.23

// A module of Go 1.19, as this one says that it is, gets timers as they were then unless it asks for today's.
//
//go:debug asynctimerchan=0
package main
