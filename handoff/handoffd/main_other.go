//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "handoffd: it works on Linux only")
	os.Exit(1)
}
