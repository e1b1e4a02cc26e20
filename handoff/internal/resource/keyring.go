package resource

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"
)

const (
	keyLife   = 7 * 24 * time.Hour // as long as crypto/tls takes a ticket
	keyPeriod = 24 * time.Hour     // between two new keys
	keySize   = 32
	maxKeys   = 64
)

// A ticketKey encrypts session tickets.
type ticketKey struct {
	made time.Time // in whole seconds
	key  [keySize]byte
}

// A keyring holds the keys for the session tickets of all servers of a Service.
// The newest encrypts.
type keyring struct {
	mu   sync.Mutex
	keys []ticketKey // newest first
	uses []keyUse
}

// A keyUse is a server that uses the keys: its tickets are none for another one,
// which may ask more of its clients.
type keyUse struct {
	label  string
	config *tls.Config // does nothing but encrypt and decrypt tickets
}

func newKeyring() *keyring {
	k := &keyring{}
	k.rotate(time.Now())
	return k
}

// rotate makes a new key if it is time for one, drops what is too old, and
// reports whether it has made one, and when to call it next.
func (k *keyring) rotate(now time.Time) (made bool, next time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.keys) == 0 || now.Sub(k.keys[0].made) >= keyPeriod || k.keys[0].made.After(now.Add(keyPeriod)) {
		key := ticketKey{made: now}
		rand.Read(key.key[:])
		k.keys = append([]ticketKey{key}, k.keys...)
		made = true
	}
	k.update(now)
	return made, max(k.keys[0].made.Add(keyPeriod).Sub(now), time.Second)
}

// update puts the keys to use. The caller holds k.mu.
func (k *keyring) update(now time.Time) {
	k.keys = slices.DeleteFunc(k.keys, func(t ticketKey) bool { return now.Sub(t.made) > keyLife+keyPeriod })
	if len(k.keys) > maxKeys {
		k.keys = k.keys[:maxKeys]
	}
	for _, use := range k.uses {
		derived := make([][keySize]byte, len(k.keys))
		for i, t := range k.keys {
			mac := hmac.New(sha256.New, t.key[:])
			mac.Write([]byte("session tickets of " + use.label))
			mac.Sum(derived[i][:0])
		}
		use.config.SetSessionTicketKeys(derived)
	}
}

// marshal lays out the keys: for each the Unix time in seconds at which it was
// made, 8 bytes little-endian, and its 32 bytes.
func (k *keyring) marshal() []byte {
	k.mu.Lock()
	defer k.mu.Unlock()
	var b []byte
	for _, t := range k.keys {
		b = binary.LittleEndian.AppendUint64(b, uint64(t.made.Unix()))
		b = append(b, t.key[:]...)
	}
	return b
}

// parseKeys reads what marshal has written.
func parseKeys(b []byte) ([]ticketKey, error) {
	const size = 8 + keySize
	if len(b)%size != 0 || len(b) > maxKeys*size {
		return nil, fmt.Errorf("ticket keys of %d bytes, want a multiple of %d, at most %d", len(b), size, maxKeys*size)
	}
	var keys []ticketKey
	for ; len(b) > 0; b = b[size:] {
		t := ticketKey{made: time.Unix(int64(binary.LittleEndian.Uint64(b)), 0)}
		copy(t.key[:], b[8:])
		keys = append(keys, t)
	}
	return keys, nil
}

// inherit takes over the keys of the generation before, in place of the one that
// was made for want of them.
func (k *keyring) inherit(keys []ticketKey, now time.Time) {
	keys = slices.DeleteFunc(keys, func(t ticketKey) bool { return now.Sub(t.made) > keyLife+keyPeriod })
	if len(keys) == 0 {
		return
	}
	slices.SortStableFunc(keys, func(a, b ticketKey) int { return b.made.Compare(a.made) })
	k.mu.Lock()
	k.keys = keys
	k.update(now)
	k.mu.Unlock()
	k.rotate(now)
}

// install returns a copy of c whose session tickets are made with keys for the
// server that label names. It does not set them in c, of which the server makes a
// copy of its own when it begins to serve.
func (k *keyring) install(c *tls.Config, label string) *tls.Config {
	use := keyUse{label: label, config: new(tls.Config)}
	k.mu.Lock()
	k.uses = append(k.uses, use)
	k.update(time.Now())
	k.mu.Unlock()
	c = use.wrap(c)
	if each := c.GetConfigForClient; each != nil {
		c.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			c, err := each(hello)
			if err != nil || c == nil {
				return c, err
			}
			return use.wrap(c), nil
		}
	}
	return c
}

// wrap returns a copy of c that uses the keys, unless it has its own way.
func (u keyUse) wrap(c *tls.Config) *tls.Config {
	c = c.Clone()
	if c.WrapSession == nil && c.UnwrapSession == nil {
		c.WrapSession = u.config.EncryptTicket
		c.UnwrapSession = u.config.DecryptTicket
	}
	return c
}
