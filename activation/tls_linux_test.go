package activation

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http/httptest"
	"testing"

	"github.com/holdfast-go/holdfast/units/leaktest"
)

func TestTLSListener(t *testing.T) {
	leaktest.Check(t)
	s := inherit(t, []string{"https"}, tcpListener(t))
	for _, config := range []*tls.Config{nil, {}} {
		if _, err := s.TLSListener("https", config); err == nil {
			t.Errorf("a configuration without a certificate was taken: %v", config)
		}
	}
	if len(s.Unclaimed()) != 1 {
		t.Fatal("a failed attempt took the socket")
	}
	server := httptest.NewUnstartedServer(nil) // for its certificate
	server.StartTLS()
	config := server.TLS.Clone()
	client := server.Client().Transport.(interface{ CloseIdleConnections() })
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	client.CloseIdleConnections()
	server.Close()

	l, err := s.TLSListener("https", config)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	done := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			_, err = io.WriteString(c, "hello")
			c.Close()
		}
		done <- err
	}()
	c, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{RootCAs: roots, ServerName: "example.com"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if text, err := io.ReadAll(c); err != nil || string(text) != "hello" {
		t.Errorf("got %q, %v", text, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}
