package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// bounded is how many keys are written over and over.
const bounded = 500

// etcd is called as by a cluster's control plane: a bounded set of objects that change, leases that hold locks,
// watchers that come and go, old revisions compacted; and now and then a record that is to stay.
func etcd() custom {
	kv := func(path string) string { return "http://" + *address + "/v3/" + path }
	var revision atomic.Int64
	put := func(key, value string, lease string) error {
		question := map[string]string{"key": coded(key), "value": coded(value)}
		if lease != "" {
			question["lease"] = lease
		}
		var answer struct{ Header struct{ Revision string } }
		err := postJSON(kv("kv/put"), question, &answer)
		var at int64
		if _, scanned := fmt.Sscan(answer.Header.Revision, &at); scanned == nil {
			revision.Store(at)
		}
		return err
	}
	object := func(turn int) string { return fmt.Sprintf("/objects/%04d", turn*31%bounded) }
	changing := func(turn int) error { return put(object(turn), strings.Repeat("state ", 20+turn%60), "") }
	staying := func(size int) func(int) error {
		return func(turn int) error {
			return put(fmt.Sprintf("/records/%08d", turn), strings.Repeat("entry ", size), "")
		}
	}
	read := func(turn int) error {
		return postJSON(kv("kv/range"), map[string]string{"key": coded(object(turn))}, nil)
	}
	list := func(int) error {
		question := map[string]any{"key": coded("/objects/"), "range_end": coded("/objects0"), "limit": 50}
		return postJSON(kv("kv/range"), question, nil)
	}
	swap := func(turn int) error {
		key := coded(object(turn))
		question := map[string]any{
			"compare": []any{map[string]any{"key": key, "target": "VERSION", "result": "GREATER", "version": "0"}},
			"success": []any{map[string]any{"request_put": map[string]string{"key": key, "value": coded("swapped")}}},
			"failure": []any{map[string]any{"request_range": map[string]string{"key": key}}},
		}
		return postJSON(kv("kv/txn"), question, nil)
	}
	lock := func(turn int) error {
		var lease struct{ ID string }
		if err := postJSON(kv("lease/grant"), map[string]string{"TTL": "5"}, &lease); err != nil {
			return err
		}
		if err := put(fmt.Sprintf("/locks/%d", turn%50), "held", lease.ID); err != nil {
			return err
		}
		// Every other holder dies, and its lease runs out.
		if turn%2 == 0 {
			return nil
		}
		return postJSON(kv("lease/revoke"), map[string]string{"ID": lease.ID}, nil)
	}
	compact := func(int) error {
		upTo := revision.Load() - bounded
		if upTo <= 0 {
			return nil
		}
		err := postJSON(kv("kv/compaction"), map[string]string{"revision": fmt.Sprint(upTo)}, nil)
		if err != nil && strings.Contains(err.Error(), "compacted") {
			return nil
		}
		return err
	}
	var watching sync.WaitGroup
	watch := func(int) error {
		watching.Add(1)
		go func() {
			defer watching.Done()
			count("watch", watchFor(kv("watch"), 5*time.Second))
		}()
		return nil
	}
	return custom{
		store: staying(700),
		prepare: func() error {
			// One that stays for all the time, as controllers do.
			go func() { watchFor(kv("watch"), *life) }()
			return nil
		},
		habits: []habit{
			{"put", 40, changing}, {"put a record", 10, staying(100)}, {"get", 25, read}, {"list", 5, list},
			{"transaction", 10, swap}, {"lock", 6, lock}, {"watch", 3, watch}, {"compact", 1, compact},
		},
	}
}

func coded(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }

// watchFor reads changes of all objects for a while, on a connection of its own.
func watchFor(url string, while time.Duration) error {
	question, err := json.Marshal(map[string]any{
		"create_request": map[string]string{"key": coded("/objects/"), "range_end": coded("/objects0")},
	})
	if err != nil {
		return err
	}
	patient := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := patient.Post(url, "application/json", strings.NewReader(string(question)))
	if err != nil {
		return err
	}
	time.AfterFunc(while, func() { response.Body.Close() })
	// It ends when the body is closed.
	io.Copy(io.Discard, response.Body)
	return nil
}
