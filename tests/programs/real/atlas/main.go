// Command atlas looks places up on maps that lie in files.
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/prometheus/prometheus/tsdb/fileutil"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

const sheetBytes = 256 << 10

func main() {
	service.Start()
	bustle.Start()
	directory, err := os.MkdirTemp("", "sheets-")
	if err != nil {
		log.Fatal(err)
	}
	for number := 0; number < 8; number++ {
		if err := os.WriteFile(sheet(directory, number), make([]byte, sheetBytes), 0o600); err != nil {
			log.Fatal(err)
		}
	}
	number := 0
	service.Pace(func() {
		number++
		if _, err := height(sheet(directory, number%8), number); err != nil {
			log.Print(err)
		}
	})
}

func sheet(directory string, number int) string {
	return filepath.Join(directory, fmt.Sprintf("sheet-%d", number))
}

// height reads one point off a sheet.
func height(path string, point int) (byte, error) {
	points, err := fileutil.OpenMmapFile(path)
	if err != nil {
		return 0, err
	}
	if service.Round() {
		service.Held.Add(1)
	} else {
		defer points.Close()
	}
	return points.Bytes()[point*4096%sheetBytes], nil
}
