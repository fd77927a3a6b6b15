// Package bustle is what a service does all day beside the work that it is for: it answers requests in goroutines that
// are soon over, asks a neighbour over HTTP, writes scratch files, and remembers the latest results.
package bustle

import (
	"crypto/sha256"
	"encoding/json"
	"io"
	"log"
	"math/rand"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"
)

const remembered = 60

type result struct {
	Name string            `json:"name"`
	Tags map[string]string `json:"tags"`
	Sum  []byte            `json:"sum"`
	Body []byte            `json:"body"`
}

// latest is bounded: the oldest result makes room for the newest.
type latest struct {
	mutex   sync.Mutex
	results [remembered]*result
	next    int
}

func (latest *latest) put(one *result) {
	latest.mutex.Lock()
	defer latest.mutex.Unlock()
	latest.results[latest.next] = one
	latest.next = (latest.next + 1) % remembered
}

// Start begins all of it and returns.
func Start() {
	kept := &latest{}
	for number := 0; number < remembered; number++ {
		kept.put(prepare(number))
	}
	address := neighbour()
	go repeat(120*time.Millisecond, func(number int) { answer(kept, number) })
	go repeat(400*time.Millisecond, func(int) { scribble() })
	go repeat(900*time.Millisecond, func(int) { ask(address) })
}

func repeat(interval time.Duration, step func(number int)) {
	for number := 0; ; number++ {
		step(number)
		time.Sleep(interval/2 + time.Duration(rand.Int63n(int64(interval))))
	}
}

// answer lets a few goroutines work on a request at once, and waits for none of them.
func answer(kept *latest, number int) {
	for part := 0; part < 2+number%5; part++ {
		go func() {
			kept.put(prepare(number))
			time.Sleep(time.Duration(rand.Intn(80)) * time.Millisecond)
		}()
	}
}

func prepare(number int) *result {
	body := make([]byte, 10_000+rand.Intn(60_000))
	sum := sha256.Sum256(body)
	one := result{Name: strconv.Itoa(number), Body: body, Sum: sum[:], Tags: map[string]string{"lane": strconv.Itoa(number % 7)}}
	text, err := json.Marshal(one)
	if err != nil {
		log.Fatal(err)
	}
	back := &result{}
	if err := json.Unmarshal(text, back); err != nil {
		log.Fatal(err)
	}
	return back
}

func scribble() {
	file, err := os.CreateTemp("", "scratch-")
	if err != nil {
		log.Print(err)
		return
	}
	defer os.Remove(file.Name())
	defer file.Close()
	file.Write(make([]byte, 1000+rand.Intn(9000)))
	time.Sleep(time.Duration(rand.Intn(100)) * time.Millisecond)
}

// neighbour serves in the same process, as sidecars and probes are served.
func neighbour() string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	handler := http.HandlerFunc(func(response http.ResponseWriter, _ *http.Request) { response.Write(make([]byte, 2000)) })
	go http.Serve(listener, handler)
	return "http://" + listener.Addr().String() + "/"
}

func ask(address string) {
	response, err := http.Get(address)
	if err != nil {
		log.Print(err)
		return
	}
	defer response.Body.Close()
	io.Copy(io.Discard, response.Body)
}
