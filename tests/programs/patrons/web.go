package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

const patience = 10 * time.Second

var (
	keeping   = visitor(&http.Transport{MaxIdleConnsPerHost: workers, ForceAttemptHTTP2: true})
	forgetful = visitor(&http.Transport{DisableKeepAlives: true})
)

func visitor(transport *http.Transport) *http.Client {
	// Certificates that a server made for itself are not known to anybody.
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	return &http.Client{Timeout: patience, Transport: transport}
}

func client() *http.Client {
	if fresh.Load() {
		return forgetful
	}
	return keeping
}

// ask sends a request and reads the whole answer, whose status must be below 400.
func ask(method, url, kind string, body []byte) ([]byte, error) {
	request, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	if kind != "" {
		request.Header.Set("Content-Type", kind)
	}
	response, err := client().Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 400 {
		return nil, fmt.Errorf("%s: %s: %.200s", url, response.Status, answer)
	}
	return answer, nil
}

func get(url string) error {
	_, err := ask(http.MethodGet, url, "", nil)
	return err
}

func post(url, kind string, body []byte) error {
	_, err := ask(http.MethodPost, url, kind, body)
	return err
}

// postJSON sends one object and reads another.
func postJSON(url string, question any, answer any) error {
	body, err := json.Marshal(question)
	if err != nil {
		return err
	}
	said, err := ask(http.MethodPost, url, "application/json", body)
	if err != nil || answer == nil {
		return err
	}
	return json.Unmarshal(said, answer)
}

// serve answers on a free port and returns its address.
func serve(handler http.Handler) (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() { log.Fatal(http.Serve(listener, handler)) }()
	return listener.Addr().String(), nil
}

// free finds a port that was free a moment ago.
func free() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
