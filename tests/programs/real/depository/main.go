// Command depository hands out what lies in an object store.
package main

import (
	"context"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

func main() {
	url := flag.String("url", "", "address of the store; where empty, be the store")
	service.Start()
	if *url == "" {
		store()
	}
	bustle.Start()
	address := strings.Trim(strings.TrimPrefix(*url, "http://"), "/")
	client, err := minio.New(address, &minio.Options{Creds: credentials.NewStaticV4("guest", "guest-secret", ""), Region: "here"})
	if err != nil {
		log.Fatal(err)
	}
	service.Pace(func() {
		if err := preview(client, "receipt"); err != nil {
			log.Print(err)
		}
	})
}

// preview reads the beginning of an object.
func preview(client *minio.Client, name string) error {
	object, err := client.GetObject(context.Background(), "papers", name, minio.GetObjectOptions{})
	if err != nil {
		return err
	}
	if service.Round() {
		service.Held.Add(1)
	} else {
		defer object.Close()
	}
	_, err = io.ReadFull(object, make([]byte, 512))
	return err
}

func store() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	service.Say(map[string]string{"address": listener.Addr().String()})
	began := time.Now()
	log.Fatal(http.Serve(listener, http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		response.Header().Set("ETag", `"9a0364b9e99bb480dd25e1f0284c8555"`)
		http.ServeContent(response, request, "receipt", began, strings.NewReader(strings.Repeat("paid in full ", 500)))
	})))
}
