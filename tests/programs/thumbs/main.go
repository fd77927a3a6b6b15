// Command thumbs calls an external program for every picture.
package main

import (
	"log"
	"os/exec"

	"example.com/parcels/internal/service"
)

func main() {
	service.Start()
	service.Pace(render)
}

func render() {
	command := exec.Command("/bin/true")
	if err := command.Start(); err != nil {
		log.Print(err)
		return
	}
	if service.Round() {
		service.Held.Add(1)
		return
	}
	if err := command.Wait(); err != nil {
		log.Print(err)
	}
}
