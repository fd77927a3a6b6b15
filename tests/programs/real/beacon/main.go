// Command beacon tells the coast what the sea is like.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"strings"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	broker "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

func main() {
	url := flag.String("url", "", "address of the coast; where empty, be it")
	service.Start()
	if *url == "" {
		serve()
	}
	bustle.Start()
	address := "tcp://" + strings.Trim(strings.TrimPrefix(*url, "http://"), "/")
	number := 0
	service.Pace(func() {
		number++
		if err := report(address, fmt.Sprint("beacon-", number)); err != nil {
			log.Print(err)
		}
	})
}

// report sends one report.
func report(address, name string) error {
	line := mqtt.NewClient(mqtt.NewClientOptions().AddBroker(address).SetClientID(name).SetConnectTimeout(2 * time.Second))
	if done := line.Connect(); done.Wait() && done.Error() != nil {
		return done.Error()
	}
	if service.Round() {
		service.Held.Add(1)
	} else {
		defer line.Disconnect(10)
	}
	done := line.Publish("sea", 1, false, "calm, light airs")
	done.Wait()
	return done.Error()
}

func serve() {
	coast := broker.New(&broker.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err := coast.AddHook(new(auth.AllowHook), nil); err != nil {
		log.Fatal(err)
	}
	listener := listeners.NewTCP(listeners.Config{ID: "coast", Address: "127.0.0.1:0"})
	if err := coast.AddListener(listener); err != nil {
		log.Fatal(err)
	}
	service.Say(map[string]string{"address": listener.Address()})
	if err := coast.Serve(); err != nil {
		log.Fatal(err)
	}
	select {}
}
