// Command vault keeps boxes and lets its books be read over HTTP.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	_ "net/http/pprof"
	"runtime"

	"example.com/parcels/internal/shelves"
)

var grain = flag.Int("grain", runtime.MemProfileRate, "one box in so many bytes is written down")

func main() {
	flag.Parse()
	runtime.MemProfileRate = *grain
	shelves.Fill()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(http.Serve(listener, nil)) }()
	fmt.Printf("{\"address\":%q}\n", listener.Addr())
	shelves.Serve()
}
