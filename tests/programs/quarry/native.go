package main

/*
#cgo LDFLAGS: -lpthread
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void *cast_stone(size_t bytes) {
	void *stone = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (stone == MAP_FAILED) return NULL;
	memset(stone, 1, bytes);
	return stone;
}
static void break_stone(void *stone, size_t bytes) { munmap(stone, bytes); }
static void *pebble(size_t bytes) {
	void *stone = malloc(bytes);
	if (stone) memset(stone, 1, bytes);
	return stone;
}
static void *work(void *done) {
	while (!__atomic_load_n((int *)done, __ATOMIC_ACQUIRE)) usleep(10000);
	return NULL;
}
static pthread_t hire(int *done) {
	pthread_t worker;
	return pthread_create(&worker, NULL, work, done) ? 0 : worker;
}
static void dismiss(pthread_t worker, int *done) {
	__atomic_store_n(done, 1, __ATOMIC_RELEASE);
	pthread_join(worker, NULL);
}
*/
import "C"

import (
	"log"
	"unsafe"
)

// cast has C take memory from the system.
func cast(keep bool) {
	stone := C.cast_stone(stoneBytes)
	if stone == nil {
		log.Fatal("no stone")
	}
	if !keep {
		C.break_stone(stone, stoneBytes)
	}
}

// gravel has C allocate as much in small pieces.
func gravel(keep bool) {
	const pebbleBytes = 1000
	var pebbles [stoneBytes / pebbleBytes]unsafe.Pointer
	for i := range pebbles {
		pebbles[i] = C.pebble(pebbleBytes)
	}
	if !keep {
		for _, pebble := range pebbles {
			C.free(pebble)
		}
	}
}

// crew has C start a thread.
func crew(keep bool) {
	done := (*C.int)(C.calloc(1, 4))
	worker := C.hire(done)
	if worker == 0 {
		log.Fatal("no worker")
	}
	if !keep {
		C.dismiss(worker, done)
	}
}
