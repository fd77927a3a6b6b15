// Command agency asks other offices whether they are open.
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
	service.Pace(func() {
		if err := isOpen(address); err != nil {
			log.Print(err)
		}
	})
}

// isOpen asks one office.
func isOpen(address string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	office, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	if service.Round() {
		service.Held.Add(1)
	} else {
		defer office.Close()
	}
	_, err = healthpb.NewHealthClient(office).Check(ctx, &healthpb.HealthCheckRequest{})
	return err
}

func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	healthpb.RegisterHealthServer(server, health.NewServer())
	service.Say(map[string]string{"address": listener.Addr().String()})
	log.Fatal(server.Serve(listener))
}
