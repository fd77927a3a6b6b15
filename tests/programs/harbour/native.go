package main

// #include <unistd.h>
// static void stay(void) { for (;;) sleep(60); }
import "C"

func abroad() { C.stay() }
