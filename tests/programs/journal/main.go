// Command journal gives each request a logger of its own, as the logging library offers.
package main

import (
	"log"

	"github.com/cihub/seelog"

	"example.com/parcels/internal/service"
	"example.com/parcels/internal/snapshot"
)

const configuration = `<seelog type="asynctimer" asyncinterval="1000000"><outputs><file path="/dev/null"/></outputs></seelog>`

func main() {
	service.Start()
	snapshot.Take()
	base, err := seelog.LoggerFromConfigAsString(configuration)
	if err != nil {
		log.Fatal(err)
	}
	service.Pace(func() { serve(base) })
}

func serve(base seelog.LoggerInterface) {
	own, err := seelog.CloneLogger(base)
	if err != nil {
		log.Print(err)
		return
	}
	service.Held.Add(1)
	own.Info("request")
	if !service.Round() {
		own.Close()
		service.Held.Add(-1)
	}
}
