// Command west is a wing of the annex.
package main

var bell = make(chan bool)

// Admit takes in guests.
func Admit(guests int) {
	for i := 0; i < guests; i++ {
		go lodge()
	}
}

func lodge() { <-bell }

func main() {}
