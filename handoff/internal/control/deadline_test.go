package control

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipe serves one end of a pipe, in which writes wait for reads, and returns the
// other one. ended is closed when the server has closed its end.
func pipe(t *testing.T, s Supervisor, o Options) (conn net.Conn, ended chan struct{}, stop func()) {
	conn, far := net.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	ended = make(chan struct{})
	srv := NewServer(s, o)
	c := newClient(far, srv.o.Timeout)
	srv.add(c)
	go func() {
		defer close(ended)
		srv.serve(ctx, c, nil)
	}()
	return conn, ended, stop
}

// repliesOf returns a function that reads a reply.
func repliesOf(conn net.Conn) func() (reply, error) {
	r := bufio.NewReader(conn)
	return func() (answer reply, err error) {
		message, err := readMessage(r, MaxReply)
		if err == nil {
			err = json.Unmarshal(message, &answer)
		}
		return answer, err
	}
}

func over(ended chan struct{}) bool {
	synctest.Wait()
	select {
	case <-ended:
		return true
	default:
		return false
	}
}

const statusCall = `{"method":"` + Interface + `.Status"}` + "\x00"

func TestIdleClientStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, ended, _ := pipe(t, newFake(), Options{})
		read := repliesOf(conn)
		for range 3 {
			time.Sleep(1000 * time.Hour)
			if over(ended) {
				t.Fatal("a client that asks nothing was dropped")
			}
			if _, err := conn.Write([]byte(statusCall)); err != nil {
				t.Fatal(err)
			}
			if answer, err := read(); err != nil || answer.Error != "" {
				t.Fatalf("answer %+v, %v", answer, err)
			}
		}
		conn.Close()
		if !over(ended) {
			t.Error("the client is gone, and the server waits")
		}
	})
}

func TestIncompleteMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, ended, _ := pipe(t, newFake(), Options{})
		began := time.Now()
		// A byte every second does not move the deadline.
		written := make(chan struct{})
		go func() {
			defer close(written)
			for i := range len(statusCall) {
				if _, err := conn.Write([]byte{statusCall[i]}); err != nil {
					return
				}
				time.Sleep(time.Second)
			}
		}()
		answer, err := repliesOf(conn)()
		if err != nil || answer.Error != Interface+".InvalidMessage" || !strings.Contains(string(answer.Parameters), "not whole within 10s") {
			t.Errorf("answer %+v, %v", answer, err)
		}
		if took := time.Since(began); took != defaultTimeout {
			t.Errorf("it came after %v, want %v", took, defaultTimeout)
		}
		if !over(ended) {
			t.Error("the connection goes on")
		}
		<-written
	})
}

func TestAnswerThatNobodyTakes(t *testing.T) {
	for _, call := range []string{statusCall, "garbage\x00"} {
		synctest.Test(t, func(t *testing.T) {
			conn, ended, _ := pipe(t, newFake(), Options{})
			defer conn.Close()
			if _, err := conn.Write([]byte(call)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(defaultTimeout - time.Second)
			if over(ended) {
				t.Errorf("%q: given up before its time", call)
			}
			time.Sleep(time.Second)
			if !over(ended) {
				t.Errorf("%q: an answer waits for ever", call)
			}
		})
	}
}

// An end is not held up by it.
func TestAnswerThatNobodyTakesAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn, ended, stop := pipe(t, newFake(), Options{})
		defer conn.Close()
		if _, err := conn.Write([]byte(statusCall)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(defaultTimeout / 2)
		stop()
		if over(ended) {
			t.Error("the answer was given up at once")
		}
		time.Sleep(lastTimeout)
		if !over(ended) {
			t.Error("the answer holds up the end")
		}
	})
}

// Time that a call takes is not the client's.
func TestLongCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFake()
		s.reload = func(context.Context, ReloadRequest) (Verdict, error) {
			time.Sleep(1000 * time.Hour)
			return Verdict{Outcome: Done}, nil
		}
		conn, _, _ := pipe(t, s, Options{})
		defer conn.Close()
		if _, err := conn.Write([]byte(strings.Replace(statusCall, "Status", "Reload", 1))); err != nil {
			t.Fatal(err)
		}
		if answer, err := repliesOf(conn)(); err != nil || answer.Error != "" {
			t.Errorf("answer %+v, %v", answer, err)
		}
	})
}

// Of changes in quick succession some are left out, and never the last one.
func TestMonitorPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFake()
		conn, _, _ := pipe(t, s, Options{})
		defer conn.Close()
		call := `{"method":"` + Interface + `.Monitor","more":true}` + "\x00"
		if _, err := conn.Write([]byte(call)); err != nil {
			t.Fatal(err)
		}
		const changes = 1000
		go func() {
			for range changes {
				time.Sleep(time.Millisecond)
				s.change(func(st *Status) { st.Reexecs++ })
			}
		}()
		read, began, told := repliesOf(conn), time.Now(), 0
		for last := uint64(0); last < changes; told++ {
			answer, err := read()
			if err != nil || !answer.Continues {
				t.Fatalf("answer %+v, %v", answer, err)
			}
			var in statusReply
			if err := json.Unmarshal(answer.Parameters, &in); err != nil {
				t.Fatal(err)
			}
			last = in.Status.Reexecs
		}
		took := time.Since(began)
		if most := 2 + int(took/monitorPause); told > most {
			t.Errorf("%d answers in %v, want %d at most", told, took, most)
		}
		if most := changes*time.Millisecond + monitorPause; took > most {
			t.Errorf("the last change was told after %v, want %v at most", took, most)
		}
	})
}
