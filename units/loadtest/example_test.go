package loadtest_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/holdfast-go/holdfast/units/loadtest"
)

func hello(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello\n") }

func ExampleRun() {
	server := httptest.NewServer(http.HandlerFunc(hello))
	defer server.Close()

	result, err := loadtest.Run(context.Background(), loadtest.Options{
		URL:      server.URL,
		Clients:  8,
		Requests: 1000,
		Check:    loadtest.Equals("hello\n"),
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := result.Err(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Total.Counts)
	// Output: ok 1000, refused 0, reset 0, cut 0, wrong 0, status 0, timed out 0, other 0, canceled 0
}

// What happens while a service restarts is counted as a phase of its own.
func ExampleLoad_Mark() {
	server := httptest.NewServer(http.HandlerFunc(hello))
	defer server.Close()
	restart := func() {} // systemctl restart

	load, err := loadtest.Start(context.Background(), loadtest.Options{
		URL: server.URL, Clients: 8, Rate: 1000, Requests: 100, Phase: "rest",
	})
	if err != nil {
		log.Fatal(err)
	}
	load.Mark("restart")
	restart()
	load.Mark("rest")

	result, err := load.Wait()
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range result.Phases {
		fmt.Println(p.Name, "failed:", p.Counts.Failed())
	}
	fmt.Println("all:", result.Total.Counts.OK)
	// Output:
	// rest failed: 0
	// restart failed: 0
	// rest failed: 0
	// all: 100
}
