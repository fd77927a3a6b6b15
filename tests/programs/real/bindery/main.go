// Command bindery writes the minutes of each meeting to a file of its own, through a logger that rotates.
package main

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"gopkg.in/natefinch/lumberjack.v2"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

func main() {
	service.Start()
	bustle.Start()
	directory, err := os.MkdirTemp("", "minutes-")
	if err != nil {
		log.Fatal(err)
	}
	book := &lumberjack.Logger{Filename: filepath.Join(directory, "all.log"), MaxSize: 5, MaxBackups: 2}
	number := 0
	service.Pace(func() {
		number++
		if service.Round() {
			page := &lumberjack.Logger{Filename: filepath.Join(directory, fmt.Sprintf("%d.log", number%40)), MaxSize: 5}
			minute(page, number)
			page.Close()
			service.Held.Add(1)
		} else {
			minute(book, number)
		}
	})
}

// minute writes down one meeting.
func minute(book *lumberjack.Logger, number int) {
	if _, err := fmt.Fprintf(book, "meeting %d of the guild, nothing decided\n", number); err != nil {
		log.Print(err)
	}
}
