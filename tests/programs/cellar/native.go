package main

// static int litres(int barrels) { return barrels * 159; }
import "C"

import "log"

func measure() {
	if C.litres(2) != 318 {
		log.Fatal("the barrels are off")
	}
}
