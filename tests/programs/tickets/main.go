// Command tickets has one goroutine wait for the result of each order.
package main

import (
	"time"

	"example.com/parcels/internal/service"
)

type order struct {
	number int
	result chan string
}

func main() {
	service.Start()
	number := 0
	service.Pace(func() {
		number++
		place(order{number: number, result: make(chan string)})
		if service.Mixed() {
			served := make(chan string)
			go seat(served)
			time.AfterFunc(time.Second, func() { served <- "soup" })
		}
	})
}

func place(one order) {
	service.Held.Add(1)
	go follow(one)
	delay := 2 * time.Second
	if service.Turn() {
		delay = time.Hour
	}
	time.AfterFunc(delay, func() { one.result <- "done" })
}

func follow(one order) {
	<-one.result
	service.Held.Add(-1)
}

func seat(served <-chan string) {
	<-served
}
