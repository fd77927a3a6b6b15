// Command cellar keeps boxes; nobody reads its books.
package main

import (
	"fmt"

	"example.com/parcels/internal/shelves"
)

func main() {
	measure()
	shelves.Fill()
	fmt.Println("{}")
	shelves.Serve()
}
