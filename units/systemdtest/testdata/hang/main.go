// Hang stands in for a systemd that never comes up.
package main

import (
	"fmt"
	"time"
)

func main() {
	fmt.Println("about to hang")
	time.Sleep(time.Hour)
}
