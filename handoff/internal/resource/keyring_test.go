package resource

import (
	"bytes"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/tlstest"
	"github.com/holdfast-go/holdfast/units/poll"
)

// handshake reports whether a client with that cache resumes.
func handshake(t *testing.T, server *tls.Config, cache tls.ClientSessionCache, version uint16) bool {
	t.Helper()
	// Not net.Pipe: in TLS 1.3 both sides write at once.
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	a, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	a.SetDeadline(time.Now().Add(poll.Patience))
	b.SetDeadline(time.Now().Add(poll.Patience))
	done := make(chan error, 1)
	go func() {
		c := tls.Server(b, server)
		_, err := c.Write([]byte("x")) // with TLS 1.3 the ticket comes before it
		done <- err
	}()
	c := tls.Client(a, &tls.Config{ServerName: "localhost", InsecureSkipVerify: true, ClientSessionCache: cache, MaxVersion: version})
	if _, err := c.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	return c.ConnectionState().DidResume
}

func TestKeyring(t *testing.T) {
	cert, err := tlstest.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	plain := &tls.Config{Certificates: []tls.Certificate{cert}}
	each := plain.Clone()
	each.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return plain, nil }
	for _, c := range []struct {
		name   string
		config *tls.Config
	}{{"plain", plain}, {"GetConfigForClient", each}} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(c.name+" "+tls.VersionName(version), func(t *testing.T) {
				now := time.Now()
				old := newKeyring()
				cache := tls.NewLRUClientSessionCache(1)
				// A server works with a copy of its own, as http.Server.ServeTLS does.
				server := old.install(c.config, "a").Clone()
				if handshake(t, server, cache, version) {
					t.Error("the first handshake resumed")
				}
				if !handshake(t, server, cache, version) {
					t.Error("the second handshake did not resume")
				}

				keys, err := parseKeys(old.marshal())
				if err != nil {
					t.Fatal(err)
				}
				next := newKeyring()
				server, other := next.install(c.config, "a").Clone(), next.install(c.config, "b")
				next.inherit(keys, now)
				if !handshake(t, server, cache, version) {
					t.Error("with inherited keys the handshake did not resume")
				}
				if made, wait := next.rotate(now.Add(keyPeriod)); !made || wait != keyPeriod {
					t.Errorf("a day later: %v, %v", made, wait)
				}
				if !handshake(t, server, cache, version) {
					t.Error("after the rotation the handshake did not resume")
				}
				if handshake(t, other, cache, version) {
					t.Error("the tickets of one server are good for another")
				}
				handshake(t, server, cache, version)
				next.rotate(now.Add(2*keyLife + 2*keyPeriod))
				if handshake(t, server, cache, version) {
					t.Error("a ticket outlives its key")
				}
			})
		}
	}
}

func TestKeysOfItsOwn(t *testing.T) {
	config := &tls.Config{WrapSession: func(tls.ConnectionState, *tls.SessionState) ([]byte, error) { return nil, nil }}
	if c := newKeyring().install(config, "a"); c.UnwrapSession != nil {
		t.Error("a config that wraps sessions was given the keys")
	}
}

func TestParseKeys(t *testing.T) {
	for _, b := range []string{"short", strings.Repeat("x", 40*(maxKeys+1))} {
		if _, err := parseKeys([]byte(b)); err == nil {
			t.Errorf("%d bytes were taken", len(b))
		}
	}
	if keys, err := parseKeys(nil); err != nil || keys != nil {
		t.Errorf("nothing gave %v, %v", keys, err)
	}
	// The clock was wrong when a key was made: it is not used for ever.
	k := newKeyring()
	k.inherit([]ticketKey{{made: time.Now().Add(1000 * keyPeriod)}}, time.Now())
	if n := len(k.keys); n != 2 {
		t.Errorf("%d keys", n)
	}
}

func FuzzKeys(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(newKeyring().marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		keys, err := parseKeys(b)
		if err != nil {
			return
		}
		k := &keyring{keys: keys}
		if !bytes.Equal(k.marshal(), b) {
			t.Errorf("%x was read and written as %x", b, k.marshal())
		}
	})
}
