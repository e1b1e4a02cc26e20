// Systemctl stands in for the program in a root folder that was never built.
package main

import "fmt"

func main() { fmt.Println("systemd 299 (299~rc1-1)\n+PAM -AUDIT") }
