package resource

import (
	"context"
	"crypto/tls"
	"errors"
	"time"

	"github.com/holdfast-go/holdfast/handoff/internal/protocol"
	"github.com/holdfast-go/holdfast/handoff/parcel"
)

// TicketKeys are the keys for TLS session tickets of all servers. They go on in the
// manifest, so that a client's next handshake resumes, also after a crash.
type TicketKeys struct {
	env  *Env
	keys *keyring
}

var _ interface {
	Resource
	Promiser
} = (*TicketKeys)(nil)

// NewTicketKeys returns new keys.
func NewTicketKeys(env *Env) *TicketKeys { return &TicketKeys{env, newKeyring()} }

// Install returns a copy of c whose session tickets are made with the keys for the
// server that label names. A config with a WrapSession of its own keeps that.
func (k *TicketKeys) Install(c *tls.Config, label string) *tls.Config {
	return k.keys.install(c, label)
}

// Start renews the keys in time, until p drains.
func (k *TicketKeys) Start(p *Period) {
	k.env.Tasks.Go(func() {
		for {
			made, next := k.keys.rotate(time.Now())
			if made && k.env.owned() {
				k.env.Announce(context.WithoutCancel(p.Finishing))
			}
			select {
			case <-time.After(next):
			case <-p.Finishing.Done():
				return
			}
		}
	})
}

func (k *TicketKeys) StopAccepting(bool) {}

func (k *TicketKeys) Drain(context.Context, *Period) error { return nil }

// Needs the manifest.
func (k *TicketKeys) Needs() Needs { return Needs{Leaves: true} }

func (k *TicketKeys) String() string { return "ticket keys" }

// Promise returns the keys.
func (k *TicketKeys) Promise() parcel.Entry {
	return parcel.Entry{Kind: protocol.KindKeys, Payload: k.env.Payload(protocol.Record{Data: k.keys.marshal()}), Secret: true}
}

// Promised takes the keys over. It returns why they make no sense, if so.
func (k *TicketKeys) Promised(entries []protocol.Entry) error {
	var errs []error
	for _, e := range entries {
		if e.Kind != protocol.KindKeys {
			continue
		}
		keys, err := parseKeys(e.Data)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		k.keys.inherit(keys, time.Now())
	}
	return errors.Join(errs...)
}

// CheckPromised returns nil: without keys clients do a full handshake.
func (k *TicketKeys) CheckPromised() error { return nil }
