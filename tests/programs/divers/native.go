package main

// #include <unistd.h>
// static long rest(int rope) { char signal; return read(rope, &signal, 1); }
import "C"

import (
	"log"

	"example.com/parcels/internal/service"
)

func descend(rope int) {
	if C.rest(C.int(rope)) != 1 {
		log.Print("the rope is torn")
	}
	service.Held.Add(-1)
}
