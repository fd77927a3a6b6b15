// Command depot opens as many descriptors as it is told and then does its chores.
package main

import (
	"flag"
	"log"
	"os"
	"syscall"

	"example.com/parcels/internal/service"
)

func main() {
	count := flag.Int("fds", 0, "how many descriptors to open")
	service.Start()
	for i := 0; i < *count; i++ {
		if _, err := syscall.Open(os.DevNull, syscall.O_RDONLY|syscall.O_CLOEXEC, 0); err != nil {
			log.Fatal(err)
		}
		service.Held.Add(1)
	}
	weigh()
	service.Tell()
	select {}
}
