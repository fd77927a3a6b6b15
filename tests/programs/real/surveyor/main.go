// Command surveyor looks at the interfaces of the host now and then.
package main

import (
	"log"

	"github.com/vishvananda/netlink"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

func main() {
	service.Start()
	bustle.Start()
	service.Pace(func() {
		if err := survey(); err != nil {
			log.Print(err)
		}
	})
}

// survey counts the interfaces that are up.
func survey() error {
	handle, err := netlink.NewHandle()
	if err != nil {
		return err
	}
	if service.Round() {
		service.Held.Add(1)
	} else {
		defer handle.Delete()
	}
	links, err := handle.LinkList()
	if err != nil {
		return err
	}
	_ = links
	return nil
}
