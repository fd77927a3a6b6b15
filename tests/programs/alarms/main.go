// Command alarms reminds of each appointment.
package main

import (
	"time"

	"example.com/parcels/internal/service"
)

func main() {
	service.Start()
	notice := 2 * time.Second
	if service.Round() {
		notice = time.Hour
	}
	service.Pace(func() {
		service.Held.Add(1)
		go remind(time.NewTimer(notice))
	})
}

func remind(timer *time.Timer) {
	<-timer.C
	service.Held.Add(-1)
}
