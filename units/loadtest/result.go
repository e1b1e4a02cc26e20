package loadtest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Result is what a run counted. It marshals to JSON, and back; see the package
// comment for the names.
type Result struct {
	Workload Workload  `json:"workload"`
	Total    Phase     `json:"total"`
	Phases   []Phase   `json:"phases"`
	Failures []Failure `json:"failures"` // the first MaxFailures of each class, by time
}

// Workload is what the run was asked to do, defaults included.
type Workload struct {
	URL       string  `json:"url"`
	Network   string  `json:"network"`
	Address   string  `json:"address"`
	Clients   int     `json:"clients"`
	Rate      float64 `json:"rate"` // requests a second; 0: closed loop
	KeepAlive bool    `json:"keep_alive"`
	PostEvery int     `json:"post_every"`
	BodySize  int     `json:"body_size"`
	TimeoutNS int64   `json:"timeout_ns"`
}

// MaxFailures is how many failures of each class a Result describes one by one.
const MaxFailures = 5

// Failure describes one request that failed.
type Failure struct {
	Class    Class     `json:"class"`
	Time     time.Time `json:"time"`      // when it was begun
	AfterNS  int64     `json:"after_ns"`  // how long after that it failed
	Phase    string    `json:"phase"`     // in which it was begun
	ID       string    `json:"id"`        // its X-Request-Id
	Method   string    `json:"method"`    // GET or POST
	Local    string    `json:"local"`     // this end of its connection; empty if there was none
	OnReused bool      `json:"on_reused"` // the connection had carried a request before
	Received int64     `json:"received"`  // bytes of the answer that came
	Text     string    `json:"text"`      // the error
}

// Phase is what was counted of the requests that were begun within it.
type Phase struct {
	Name    string
	Start   time.Time
	Elapsed time.Duration // to the next phase, or the end of the run
	Counts  Counts
	Latency Latency // of the requests that ended OK
}

// Counts are of requests by how they ended, each in one of the first nine, and
// of connections.
type Counts struct {
	OK       int64 `json:"ok"`
	Refused  int64 `json:"refused"`
	Reset    int64 `json:"reset"`
	Cut      int64 `json:"cut"`
	Wrong    int64 `json:"wrong"`
	Status   int64 `json:"status"`
	TimedOut int64 `json:"timed_out"`
	Other    int64 `json:"other"`
	Canceled int64 `json:"canceled"`

	// Stale are those of Reset and Cut that were sent on a connection which had
	// carried a request before, and of whose answer no byte came: the server
	// closed the idle connection while the request was on its way. RFC 9112,
	// section 9.3.1, lets a client repeat an idempotent one; this client does
	// not, since what it sent was lost.
	Stale int64 `json:"stale"`

	// Connections that were opened.
	Connections int64 `json:"connections"`

	// Reconnected are the connections that took the place of an earlier one of
	// the same client, for whatever reason: the server said Connection: close,
	// or closed it while it was idle, or a request on it failed. Only counted
	// with Options.KeepAlive: without, every connection is for one request.
	Reconnected int64 `json:"reconnected"`
}

// Requests is the number of requests that were begun.
func (c Counts) Requests() int64 { return c.OK + c.Failed() + c.Canceled }

// Failed is the number of requests that were not answered rightly.
func (c Counts) Failed() int64 {
	return c.Refused + c.Reset + c.Cut + c.Wrong + c.Status + c.TimedOut + c.Other
}

// Of is the number of requests that ended in class.
func (c Counts) Of(class Class) int64 {
	if p := c.field(class); p != nil {
		return *p
	}
	return 0
}

// Add returns the sums of both.
func (c Counts) Add(d Counts) Counts {
	for _, class := range classes {
		*c.field(class) += *d.field(class)
	}
	c.Stale += d.Stale
	c.Connections += d.Connections
	c.Reconnected += d.Reconnected
	return c
}

func (c *Counts) field(class Class) *int64 {
	switch class {
	case OK:
		return &c.OK
	case Refused:
		return &c.Refused
	case Reset:
		return &c.Reset
	case Cut:
		return &c.Cut
	case Wrong:
		return &c.Wrong
	case Status:
		return &c.Status
	case TimedOut:
		return &c.TimedOut
	case Other:
		return &c.Other
	case Canceled:
		return &c.Canceled
	}
	return nil
}

// Merge returns one phase that holds what all of phases do: all those of one
// name, say, or the same phase of several runs. Its time is the sum of theirs.
func Merge(name string, phases ...Phase) Phase {
	m := Phase{Name: name}
	for i, p := range phases {
		if i == 0 || p.Start.Before(m.Start) {
			m.Start = p.Start
		}
		m.Elapsed += p.Elapsed
		m.Counts = m.Counts.Add(p.Counts)
		m.Latency.merge(p.Latency)
	}
	return m
}

// Named returns the phases of that name merged into one, which is empty if
// there are none.
func (r *Result) Named(name string) Phase {
	var named []Phase
	for _, p := range r.Phases {
		if p.Name == name {
			named = append(named, p)
		}
	}
	return Merge(name, named...)
}

// Err returns nil if there were requests and all of them were answered rightly,
// else an error that holds the counts and the first failures.
func (r *Result) Err() error {
	c := r.Total.Counts
	switch {
	case c.Failed() > 0:
		var first strings.Builder
		for _, f := range r.Failures {
			fmt.Fprintf(&first, "\n\t%s", f)
		}
		return fmt.Errorf("loadtest: %d of %d requests failed: %s%s", c.Failed(), c.Requests(), c, first.String())
	case c.OK == 0:
		return fmt.Errorf("loadtest: no request was answered: %s", c)
	}
	return nil
}

// firstOfEach sorts failures by time and keeps the first MaxFailures of each class.
func firstOfEach(failures []Failure) []Failure {
	slices.SortStableFunc(failures, func(a, b Failure) int { return a.Time.Compare(b.Time) })
	seen := map[Class]int{}
	return slices.DeleteFunc(failures, func(f Failure) bool {
		seen[f.Class]++
		return seen[f.Class] > MaxFailures
	})
}
