// Command tollhouse counts who passes, by what they ask for.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

type tollhouse struct{ counted http.Handler }

func main() {
	service.Start()
	bustle.Start()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	passed := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "passed_seconds", Help: "who passed"}, []string{"method"})
	prometheus.MustRegister(passed)
	gate := http.HandlerFunc(func(response http.ResponseWriter, _ *http.Request) { io.WriteString(response, "pass") })
	go http.Serve(listener, &tollhouse{counted: promhttp.InstrumentHandlerDuration(passed, gate)})
	number := 0
	service.Pace(func() {
		number++
		pass("http://"+listener.Addr().String()+"/", number)
		service.Held.Add(1)
	})
}

func (house *tollhouse) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	response.Header().Set("Cache-Control", "no-store")
	house.counted.ServeHTTP(response, request)
}

// pass asks with a word of its own, as scanners do.
func pass(url string, number int) {
	request, err := http.NewRequest(fmt.Sprintf("WALK%d", number), url, nil)
	if err != nil {
		log.Print(err)
		return
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Print(err)
		return
	}
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
}
