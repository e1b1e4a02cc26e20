package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"
)

// version is set by the build: -ldflags "-X main.version=2".
var version = "1"

// do is the application: it does one job, and returns what its client is told. An error
// is an answer, too: the job has failed, and is not done again. While it gets on it calls
// alive, more often than the watchdog time: otherwise its worker is taken to hang.
func do(job string, alive func()) (string, error) {
	switch verb, argument, _ := strings.Cut(job, " "); verb {
	case "":
		return "", errors.New("the job is empty")
	case "version":
		return version, nil
	case "sleep":
		d, err := time.ParseDuration(argument)
		if err != nil {
			return "", err
		}
		for end := time.Now().Add(d); time.Now().Before(end); alive() {
			time.Sleep(min(time.Until(end), 10*time.Millisecond))
		}
		return "slept " + argument, nil
	case "hang":
		for { // a deadlock would look the same
			time.Sleep(time.Hour)
		}
	case "crash":
		panic("a job crashes")
	}
	sum := sha256.Sum256([]byte(job))
	return hex.EncodeToString(sum[:]), nil
}
