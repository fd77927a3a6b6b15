// Command wicket lets people in, or goes out itself, in one of several ways, once it is told to begin.
package main

import (
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"time"

	"example.com/parcels/internal/service"
)

var ways = map[string]func() (shut func()){
	"latch":  latch,
	"knock":  knock,
	"gate":   gate,
	"errand": errand,
	"desk":   desk,
	"runner": runner,
	"bolt":   bolt,
	"lookup": lookup,
}

func main() {
	way := flag.String("way", "latch", "how to let people in")
	begin := flag.String("begin", "", "the file whose appearance is the sign to begin")
	service.Start()
	for *begin != "" {
		if _, err := os.Stat(*begin); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	open := ways[*way]
	service.Pace(func() {
		shut := open()
		if service.Round() {
			service.Held.Add(1)
		} else {
			shut()
		}
	})
}

// latch opens a file.
func latch() func() {
	file, err := os.Open("/dev/null")
	if err != nil {
		log.Fatal(err)
	}
	kept = append(kept, file)
	return func() { file.Close() }
}

// kept is out of the garbage collector's reach.
var kept []any

// yard is a place to go to that is somebody else's: what it accepts is in this process all the same.
var yard = func() net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	return listener
}()

// knock dials.
func knock() func() {
	connection, err := net.Dial("tcp", yard.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	other := receive()
	kept = append(kept, connection)
	return func() { connection.Close(); other() }
}

// gate accepts.
func gate() func() { return knock() }

func receive() func() {
	connection, err := yard.Accept()
	if err != nil {
		log.Fatal(err)
	}
	kept = append(kept, connection)
	return func() { connection.Close() }
}

// errand asks a server and does not read the answer to its end.
func errand() func() {
	answer, err := http.Get("http://" + counter)
	if err != nil {
		log.Fatal(err)
	}
	kept = append(kept, answer)
	return func() {
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		http.DefaultClient.CloseIdleConnections()
	}
}

// desk serves.
func desk() func() { return errand() }

var counter = func() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go http.Serve(listener, http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		writer.Write(make([]byte, 1<<16))
	}))
	return listener.Addr().String()
}()

// runner starts a command and holds on to the pipe to it.
func runner() func() {
	command := exec.Command("cat")
	pipe, err := command.StdinPipe()
	if err != nil {
		log.Fatal(err)
	}
	if err := command.Start(); err != nil {
		log.Fatal(err)
	}
	kept = append(kept, pipe)
	return func() { pipe.Close(); command.Wait() }
}
