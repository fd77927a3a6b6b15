// Command gazette lets readers follow the news for a short while.
package main

import (
	"context"
	"flag"
	"log"
	"strings"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

func main() {
	url := flag.String("url", "", "address of the message server; where empty, be one")
	service.Start()
	if *url == "" {
		serve()
	}
	bustle.Start()
	client := redis.NewClient(&redis.Options{Addr: strings.Trim(strings.TrimPrefix(*url, "http://"), "/")})
	go publish(client)
	service.Pace(func() { go follow(client) })
}

func publish(client *redis.Client) {
	for range time.Tick(50 * time.Millisecond) {
		if err := client.Publish(context.Background(), "news", "all is well").Err(); err != nil {
			log.Print(err)
		}
	}
}

// follow reads the news until the reader has had enough.
func follow(client *redis.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	news := client.Subscribe(ctx, "news")
	if service.Round() {
		service.Held.Add(1)
	} else {
		defer news.Close()
	}
	for messages := news.Channel(); ; {
		select {
		case <-messages:
		case <-ctx.Done():
			return
		}
	}
}

func serve() {
	server, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	service.Say(map[string]string{"address": server.Addr()})
	select {}
}
