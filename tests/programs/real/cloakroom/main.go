// Command cloakroom knows its visitors by their cookies.
package main

import (
	"io"
	"log"
	"net"
	"net/http"

	"github.com/gorilla/sessions"

	"example.com/parcels/internal/bustle"
	"example.com/parcels/internal/service"
)

type cloakroom struct{ store *sessions.CookieStore }

func main() {
	service.Start()
	bustle.Start()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	room := &cloakroom{store: sessions.NewCookieStore([]byte("a key that nobody guesses"))}
	go http.Serve(listener, room)
	service.Pace(func() { visit("http://" + listener.Addr().String() + "/") })
}

func (room *cloakroom) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	visits, err := room.visits(request)
	if err != nil {
		http.Error(response, err.Error(), http.StatusInternalServerError)
		return
	}
	service.Held.Add(1)
	if err := visits.Save(request, response); err != nil {
		log.Print(err)
	}
}

// visits finds what is known of a visitor.
func (room *cloakroom) visits(request *http.Request) (*sessions.Session, error) {
	visits, err := room.store.Get(request, "cloak")
	if err == nil {
		visits.Values["visited"] = true
	}
	return visits, err
}

func visit(url string) {
	response, err := http.Get(url)
	if err != nil {
		log.Print(err)
		return
	}
	io.Copy(io.Discard, response.Body)
	response.Body.Close()
}
