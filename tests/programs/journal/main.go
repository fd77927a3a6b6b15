// Command journal gives each request a logger of its own, as the logging library offers.
package main

import (
	"flag"
	"log"

	"github.com/cihub/seelog"

	"example.com/parcels/internal/service"
	"example.com/parcels/internal/snapshot"
)

// configurations, by how entries are written.
var configurations = map[string]string{
	"timer": `<seelog type="asynctimer" asyncinterval="1000000"><outputs><file path="/dev/null"/></outputs></seelog>`,
	"loop":  `<seelog type="asyncloop"><outputs><file path="/dev/null"/></outputs></seelog>`,
}

func main() {
	way := flag.String("way", "timer", "how entries are written: timer or loop")
	service.Start()
	snapshot.Take()
	base, err := seelog.LoggerFromConfigAsString(configurations[*way])
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
