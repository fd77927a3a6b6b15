package main

// static int grams(int kilograms) { return kilograms * 1000; }
import "C"

import "log"

func weigh() {
	if C.grams(2) != 2000 {
		log.Fatal("the scales are off")
	}
}
