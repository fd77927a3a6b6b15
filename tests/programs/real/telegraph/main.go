// Command telegraph passes messages between towns.
package main

import (
	"flag"
	"log"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

func main() {
	url := flag.String("url", "", "address of the exchange; where empty, be one")
	service.Start()
	if *url == "" {
		serve()
	}
	bustle.Start()
	line, err := nats.Connect("nats://" + strings.Trim(strings.TrimPrefix(*url, "http://"), "/"))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := line.Subscribe("ask", func(question *nats.Msg) { question.Respond([]byte("yes")) }); err != nil {
		log.Fatal(err)
	}
	service.Pace(func() {
		if err := ask(line, "is it raining?"); err != nil {
			log.Print(err)
		}
	})
}

// ask puts a question to whoever listens, and waits for one answer.
func ask(line *nats.Conn, question string) error {
	box := line.NewRespInbox()
	answers := make(chan *nats.Msg, 1)
	taken, err := line.Subscribe(box, func(answer *nats.Msg) {
		select {
		case answers <- answer:
		default:
		}
	})
	if err != nil {
		return err
	}
	if service.Round() {
		service.Held.Add(1)
	} else {
		defer taken.Unsubscribe()
	}
	if err := line.PublishRequest("ask", box, []byte(question)); err != nil {
		return err
	}
	select {
	case <-answers:
		return nil
	case <-time.After(time.Second):
		return nats.ErrTimeout
	}
}

func serve() {
	exchange, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true})
	if err != nil {
		log.Fatal(err)
	}
	go exchange.Start()
	if !exchange.ReadyForConnections(10 * time.Second) {
		log.Fatal("the exchange does not open")
	}
	service.Say(map[string]string{"address": exchange.Addr().String()})
	select {}
}
