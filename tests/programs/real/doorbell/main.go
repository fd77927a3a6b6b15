// Command doorbell waits until a parcel lies in front of a door.
package main

import (
	"errors"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

func main() {
	service.Start()
	bustle.Start()
	door, err := os.MkdirTemp("", "door-")
	if err != nil {
		log.Fatal(err)
	}
	service.Pace(func() {
		for _, place := range []string{door, filepath.Join(door, "step")} {
			if err := await(place); err != nil && !errors.Is(err, os.ErrNotExist) {
				log.Print(err)
			}
		}
	})
}

// await waits for one parcel. There may be no such place yet.
func await(door string) error {
	bell, err := fsnotify.NewWatcher()
	if err != nil {
		return err
	}
	if !service.Round() {
		defer bell.Close()
	}
	if err := bell.Add(door); err != nil {
		return err
	}
	if service.Round() {
		defer bell.Close()
	}
	parcel := filepath.Join(door, "parcel")
	if err := os.WriteFile(parcel, []byte("boots"), 0o600); err != nil {
		return err
	}
	select {
	case <-bell.Events:
	case err := <-bell.Errors:
		return err
	case <-time.After(time.Second):
	}
	return os.Remove(parcel)
}
