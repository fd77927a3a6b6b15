package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

const (
	targets = 8
	// Series of each target that stay, beside those that come and go.
	series = 100
)

// prometheus scrapes our targets, takes series that are written to it, and is asked what dashboards ask. With each
// ten seconds a few series come to an end and others begin, as they do where containers are deployed.
func prometheus() custom {
	at := func(path string) string { return "http://" + *address + path }
	var scrapes atomic.Int64
	var writing sync.Mutex
	metrics := func(w http.ResponseWriter, request *http.Request) {
		scrape, now := scrapes.Add(1), time.Now()
		for id := 0; id < series; id++ {
			fmt.Fprintf(w, "orders_total{shop=\"s%d\",kind=\"k%d\"} %d\n", id/10, id%10, scrape*int64(id))
		}
		for id := 0; id < 10; id++ {
			fmt.Fprintf(w, "container_bytes{name=\"c%d-%d\"} %d\n", now.Unix()/10, id, scrape)
		}
		fmt.Fprintf(w, "up_seconds %d.5\n", now.Unix())
	}
	prepare := func() error {
		exporter, err := serve(http.HandlerFunc(metrics))
		if err != nil {
			return err
		}
		type group struct {
			Targets []string          `json:"targets"`
			Labels  map[string]string `json:"labels"`
		}
		var groups []group
		for id := 0; id < targets; id++ {
			path := fmt.Sprintf("/metrics/%d", id)
			groups = append(groups, group{[]string{exporter}, map[string]string{"__metrics_path__": path, "instance": path}})
		}
		text, err := json.Marshal(groups)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(*place, "targets.json"), text, 0o644)
	}
	query := func(text string) error { return get(at("/api/v1/query?query=" + url.QueryEscape(text))) }
	instant := func(turn int) error { return query(fmt.Sprintf(`sum by (kind) (orders_total{shop="s%d"})`, turn%10)) }
	ranged := func(turn int) error {
		end := time.Now().Unix()
		return get(at(fmt.Sprintf("/api/v1/query_range?query=%s&start=%d&end=%d&step=5",
			url.QueryEscape("sum by (shop) (rate(orders_total[1m]))"), end-300, end)))
	}
	names := []string{"/api/v1/labels", "/api/v1/targets", "/api/v1/label/shop/values", "/api/v1/status/tsdb", "/api/v1/rules"}
	// One writer, as an agent is: samples of a series have to come in order.
	write := func(name string) error {
		writing.Lock()
		defer writing.Unlock()
		return post(at("/api/v1/write"), "application/x-protobuf", snappy(written(name)))
	}
	return custom{
		// Names that never come again, as those of badly made labels.
		store:   func(turn int) error { return write(fmt.Sprintf("visit_%d", turn)) },
		prepare: prepare,
		reload:  func() error { return post(at("/-/reload"), "", nil) },
		habits: []habit{
			{"query", 30, instant},
			{"range query", 20, ranged},
			{"names", 10, func(turn int) error { return get(at(names[turn%len(names)])) }},
			{"write", 40, func(int) error { return write("pushed") }},
		},
	}
}

// written is a remote write of ten series: prometheus.WriteRequest of prompb/remote.proto.
func written(name string) []byte {
	var request []byte
	now := time.Now()
	for id := 0; id < 10; id++ {
		var one []byte
		for _, label := range [][2]string{{"__name__", name}, {"job", fmt.Sprint(id)}} {
			one = field(one, 1, field(field(nil, 1, []byte(label[0])), 2, []byte(label[1])))
		}
		sample := binary.LittleEndian.AppendUint64([]byte{1<<3 | 1}, math.Float64bits(float64(now.Second())))
		sample = binary.AppendUvarint(append(sample, 2<<3), uint64(now.UnixMilli()))
		request = field(request, 1, field(one, 2, sample))
	}
	return request
}

func field(message []byte, number int, content []byte) []byte {
	message = append(message, byte(number<<3|2))
	message = binary.AppendUvarint(message, uint64(len(content)))
	return append(message, content...)
}

// snappy packs without making anything smaller: literals of up to 60 bytes, which is valid and needs no library.
func snappy(plain []byte) []byte {
	packed := binary.AppendUvarint(nil, uint64(len(plain)))
	for len(plain) > 0 {
		length := len(plain)
		if length > 60 {
			length = 60
		}
		packed = append(append(packed, byte(length-1)<<2), plain[:length]...)
		plain = plain[length:]
	}
	return packed
}
