// Command doorman answers for a house of which he shows the front room only: whoever asks for more is told what stands
// in a file, at the pace that was asked for.
package main

import (
	"flag"
	"log"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"time"

	"example.com/parcels/internal/service"
)

var (
	words  = flag.String("words", "", "the file")
	pieces = flag.Int("pieces", 1<<20, "bytes said at once")
	pause  = flag.Duration("pause", 0, "time between two pieces")
	ending = flag.String("ending", "close", "what comes behind the words: close, wait or again")
	room   = flag.Bool("room", true, "show the front room")
	honest = flag.Bool("honest", false, "show all rooms")
	silent = flag.Int("silent", 0, "doors at which nobody ever answers, and no other")
	doors  []net.Listener
)

func main() {
	service.Start()
	text, err := os.ReadFile(*words)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	for len(doors) < *silent {
		door, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			log.Fatal(err)
		}
		doors = append(doors, door)
	}
	service.Say(map[string]string{"address": listener.Addr().String()})
	if *silent > 0 {
		select {}
	}
	log.Fatal(http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case *honest && r.URL.Path != "/debug/pprof/cmdline", *room && r.URL.Path == "/debug/pprof/":
			pprof.Index(w, r)
		case *room && r.URL.Path == "/debug/pprof/cmdline":
			pprof.Cmdline(w, r)
		default:
			connection, _, err := w.(http.Hijacker).Hijack()
			if err == nil {
				answer(connection, text)
			}
		}
	})))
}

func answer(connection net.Conn, text []byte) {
	defer connection.Close()
	for {
		for from := 0; from < len(text); from += *pieces {
			to := from + *pieces
			if to > len(text) {
				to = len(text)
			}
			if _, err := connection.Write(text[from:to]); err != nil {
				return
			}
			time.Sleep(*pause)
		}
		if *ending == "wait" {
			time.Sleep(time.Minute)
		}
		if *ending != "again" {
			return
		}
	}
}
