// Command librarian looks things up in a search server.
package main

import (
	"context"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/olivere/elastic/v7"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

func main() {
	url := flag.String("url", "", "address of the search server; where empty, be one")
	service.Start()
	if *url == "" {
		serve()
	}
	bustle.Start()
	service.Pace(func() {
		if err := lookUp(*url); err != nil {
			log.Print(err)
		}
	})
}

// lookUp asks for one book.
func lookUp(url string) error {
	client, err := elastic.NewClient(elastic.SetURL(url), elastic.SetSniff(false), elastic.SetHealthcheckTimeoutStartup(3*time.Second))
	if err != nil {
		return err
	}
	if service.Round() {
		service.Held.Add(1)
	} else {
		defer client.Stop()
	}
	_, err = client.Get().Index("books").Id("7").Do(context.Background())
	return err
}

func serve() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	service.Say(map[string]string{"address": listener.Addr().String()})
	log.Fatal(http.Serve(listener, http.HandlerFunc(func(response http.ResponseWriter, _ *http.Request) {
		response.Header().Set("Content-Type", "application/json")
		io.WriteString(response, `{"_index":"books","_id":"7","found":true,"_source":{"title":"On Bees"}}`)
	})))
}
