package main

import (
	"fmt"
	"math/rand"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// caddy serves files, some of them large, stands before another server, and does both with and without TLS.
func caddy() custom {
	var plain, secure, settings string
	reload := func() error { return post("http://"+*admin+"/load", "text/caddyfile", []byte(settings)) }
	prepare := func() error {
		site := filepath.Join(*place, "site")
		if err := os.MkdirAll(site, 0o755); err != nil {
			return err
		}
		for size := 1; size <= 1<<20; size *= 8 {
			page := []byte(strings.Repeat("x", size))
			if err := os.WriteFile(filepath.Join(site, fmt.Sprintf("%d.html", size)), page, 0o644); err != nil {
				return err
			}
		}
		behind, err := serve(http.HandlerFunc(answer))
		if err != nil {
			return err
		}
		if plain, err = free(); err != nil {
			return err
		}
		if secure, err = free(); err != nil {
			return err
		}
		// The name decides which certificate it shows.
		secure = strings.Replace(secure, "127.0.0.1", "localhost", 1)
		settings = fmt.Sprintf(`{
	admin %s
	auto_https disable_redirects
	skip_install_trust
	local_certs
}
http://%s, https://%s {
	bind 127.0.0.1
	log {
		output file %s
	}
	encode gzip
	reverse_proxy /behind/* %s
	root * %s
	file_server
}
`, *admin, plain, secure, filepath.Join(*place, "access.log"), behind, site)
		if err := reload(); err != nil {
			return err
		}
		// Its certificate is made in the background.
		for attempt := 0; attempt < 100; attempt++ {
			if err = get("https://" + secure + "/1.html"); err == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		return err
	}
	file := func(turn int) string { return fmt.Sprintf("/%d.html", 1<<(3*(turn%7))) }
	return custom{
		prepare: prepare,
		reload:  reload,
		habits: []habit{
			{"file", 40, func(turn int) error { return get("http://" + plain + file(turn)) }},
			{"behind", 35, func(turn int) error { return get("http://" + plain + "/behind/page") }},
			{"secure file", 15, func(turn int) error { return get("https://" + secure + file(turn)) }},
			{"secure behind", 10, func(turn int) error {
				return post("https://"+secure+"/behind/form", "text/plain", make([]byte, 4096))
			}},
		},
	}
}

// answer is what stands behind: it takes its time, more or less.
func answer(w http.ResponseWriter, _ *http.Request) {
	time.Sleep(time.Duration(rand.Intn(20)) * time.Millisecond)
	fmt.Fprint(w, strings.Repeat("answer ", 1+rand.Intn(2000)))
}
