// Command pavilion greets whoever comes, by way of gin.
package main

import (
	"encoding/json"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gin-contrib/pprof"
	"github.com/gin-gonic/gin"
)

func main() {
	time.AfterFunc(5*time.Minute, func() { os.Exit(0) })
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	if len(os.Args) > 1 {
		pprof.Register(router, os.Args[1])
	} else {
		pprof.Register(router)
	}
	router.NoRoute(func(c *gin.Context) { c.String(http.StatusOK, "hello") })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	json.NewEncoder(os.Stdout).Encode(map[string]string{"address": listener.Addr().String()})
	log.Fatal(router.RunListener(listener))
}
