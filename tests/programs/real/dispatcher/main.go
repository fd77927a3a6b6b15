// Command dispatcher follows where parcels are, by asking another office to keep it posted.
package main

import (
	"context"
	"flag"
	"log"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

func main() {
	url := flag.String("url", "", "address of the other office; where empty, be that")
	service.Start()
	if *url == "" {
		serve()
	}
	bustle.Start()
	address := strings.Trim(strings.TrimPrefix(*url, "http://"), "/")
	office, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		log.Fatal(err)
	}
	client := healthpb.NewHealthClient(office)
	service.Pace(func() {
		if err := first(client); err != nil {
			log.Print(err)
		}
	})
}

// first tells the first news of the other office.
func first(client healthpb.HealthClient) error {
	ctx := context.Background()
	if service.Round() {
		service.Held.Add(1)
	} else {
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		ctx = short
	}
	news, err := client.Watch(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		return err
	}
	_, err = news.Recv()
	return err
}

func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(grpc.MaxConcurrentStreams(10000))
	healthpb.RegisterHealthServer(server, health.NewServer())
	service.Say(map[string]string{"address": listener.Addr().String()})
	log.Fatal(server.Serve(listener))
}
