// Command usher stands at a door that somebody else has opened (descriptor 3) and counts what is said to him. He says
// nothing back.
package main

import (
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"time"
)

func main() {
	time.AfterFunc(2*time.Minute, func() { os.Exit(0) })
	listener, err := net.FileListener(os.NewFile(3, "door"))
	if err != nil {
		log.Fatal(err)
	}
	for visits := 1; ; visits++ {
		connection, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go count(connection, os.Getenv("USHER_BOOK"), visits)
	}
}

// count writes the visit and how much was said in it, once it is over.
func count(connection net.Conn, book string, visit int) {
	said, _ := io.Copy(io.Discard, connection)
	line := strconv.Itoa(visit) + " " + strconv.FormatInt(said, 10) + "\n"
	file, err := os.OpenFile(book, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()
	file.WriteString(line)
}
