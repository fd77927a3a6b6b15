//go:build endpoint

package service

import (
	"log"
	"net"
	"net/http"
	"net/http/pprof"
)

// init serves profiles on a loopback port, on a mux of its own: whatever else the program serves stays as it is.
func init() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	profiles := http.NewServeMux()
	profiles.HandleFunc("/debug/pprof/", pprof.Index)
	go http.Serve(listener, profiles)
}
