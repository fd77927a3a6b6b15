// Command guesthouse seats guests and hangs up their coats; with -book it writes their names down instead. Its back
// door, where somebody may look in, is of several kinds.
package main

import (
	"crypto/tls"
	"flag"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/http/pprof"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"

	"example.com/parcels/internal/service"
)

var (
	door  = flag.String("door", "default", "default, own, single, guarded, tls or front")
	place = flag.String("place", "tcp:127.0.0.1:0", "tcp:ADDRESS or unix:PATH, where an @ begins an abstract name")
	other = flag.String("other", "", "what is behind a front: a URL; the certificate and key of tls, parted by a comma")
	heir  = flag.String("heir", "", "a program to start that is handed the door too; only it answers")
	coat  = flag.Int("coat", 512, "size of a coat")
	book  = flag.Bool("book", false, "write down instead of seating")
)

type guest struct {
	leave chan struct{}
	coat  []byte
}

var (
	lock  sync.Mutex
	names [][]byte
)

func main() {
	service.Start()
	network, address, _ := strings.Cut(*place, ":")
	listener, err := net.Listen(network, address)
	if err != nil {
		log.Fatal(err)
	}
	service.Say(map[string]string{"address": listener.Addr().String()})
	if *heir != "" {
		log.Fatal(bequeath(listener))
	}
	go func() { log.Fatal(http.Serve(listener, handler(&listener))) }()
	service.Pace(welcome)
}

func handler(listener *net.Listener) http.Handler {
	mux := http.NewServeMux()
	switch *door {
	case "default":
		return http.DefaultServeMux
	case "own":
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/", everything)
	case "single":
		mux.Handle("/debug/pprof/goroutine", pprof.Handler("goroutine"))
		mux.Handle("/debug/pprof/heap", pprof.Handler("heap"))
		mux.HandleFunc("/", everything)
	case "guarded":
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer sesame" {
				http.Error(w, "who are you", http.StatusUnauthorized)
				return
			}
			http.DefaultServeMux.ServeHTTP(w, r)
		})
	case "tls":
		certificate, key, _ := strings.Cut(*other, ",")
		pair, err := tls.LoadX509KeyPair(certificate, key)
		if err != nil {
			log.Fatal(err)
		}
		*listener = tls.NewListener(*listener, &tls.Config{Certificates: []tls.Certificate{pair}})
		return http.DefaultServeMux
	case "front":
		behind, err := url.Parse(*other)
		if err != nil {
			log.Fatal(err)
		}
		return httputil.NewSingleHostReverseProxy(behind)
	default:
		log.Fatalf("-door %q is unknown", *door)
	}
	return mux
}

func everything(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "welcome\n") }

// bequeath hands the door to another program and keeps it open.
func bequeath(listener net.Listener) error {
	file, err := listener.(interface{ File() (*os.File, error) }).File()
	if err != nil {
		return err
	}
	command := exec.Command(*heir)
	command.ExtraFiles = []*os.File{file}
	if err := command.Start(); err != nil {
		return err
	}
	return command.Wait()
}

func welcome() {
	service.Held.Add(1)
	if *book {
		writeDown()
		return
	}
	one := &guest{leave: make(chan struct{}), coat: make([]byte, *coat)}
	go one.sit()
	if !service.Round() {
		close(one.leave)
	}
}

func (g *guest) sit() {
	<-g.leave
	g.coat[0]++
	service.Held.Add(-1)
}

func writeDown() {
	name := make([]byte, *coat)
	if !service.Round() {
		service.Held.Add(-1)
		return
	}
	lock.Lock()
	names = append(names, name)
	lock.Unlock()
}
