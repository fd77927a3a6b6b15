// Command thumbs calls an external program for every picture.
package main

import (
	"flag"
	"log"
	"os/exec"

	"example.com/parcels/internal/service"
)

func main() {
	way := flag.String("way", "loose", "where pictures go: loose, album or pipe")
	service.Start()
	service.Pace(func() { render(*way) })
}

// album is where pictures are looked up.
var album []*exec.Cmd

func render(way string) {
	command := exec.Command("/bin/true")
	if way == "pipe" {
		if _, err := command.StdoutPipe(); err != nil {
			log.Print(err)
			return
		}
	}
	if err := command.Start(); err != nil {
		log.Print(err)
		return
	}
	if service.Round() {
		if way != "loose" {
			album = append(album, command)
		}
		service.Held.Add(1)
		return
	}
	if err := command.Wait(); err != nil {
		log.Print(err)
	}
}
