package main

// #include <fcntl.h>
// #include <netdb.h>
// #include <unistd.h>
// static int slide(void) { return open("/dev/null", O_RDONLY | O_CLOEXEC); }
// static void unslide(int bolt) { close(bolt); }
// static void resolve(void) {
//   struct addrinfo *found = 0;
//   if (getaddrinfo("gatehouse.invalid", "80", 0, &found) == 0) freeaddrinfo(found);
// }
import "C"

// bolt opens a file in C.
func bolt() func() {
	number := C.slide()
	return func() { C.unslide(number) }
}

// lookup asks C's library for an address, for which it opens files and sockets of its own.
func lookup() func() {
	C.resolve()
	return func() {}
}
