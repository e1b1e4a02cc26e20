// Package notify speaks the notification protocol of sd_notify(3), both sides:
// what a service tells its manager, and how a manager listens.
//
// # A service
//
// Open finds the manager; the methods tell it how the service fares:
//
//	n, err := notify.Open()
//	if err != nil {
//		return err
//	}
//	defer n.Close()
//
//	n.Status("loading the index")
//	// ... open listeners, load ...
//	if err := n.Ready(ctx); err != nil {
//		return err
//	}
//	go n.Watchdog(ctx, healthy)
//	<-ctx.Done()
//	n.Stopping(context.WithoutCancel(ctx))
//
// The unit says Type=notify, or Type=notify-reload, and WatchdogSec= where it
// wants signs of life:
//
//	[Service]
//	Type=notify
//	ExecStart=/usr/bin/app
//	WatchdogSec=20
//
// Without a manager Open returns nil, and a nil *Notifier does nothing: the same
// program runs in a terminal. Every send has a deadline, so a manager that does
// not read delays the service but never hangs it. The socket is opened once and
// kept, and opened again if the manager has made its own anew.
//
// A message is one datagram, and the manager answers none. It drops what it does
// not like, and says so in its own log alone; this package therefore refuses to
// send what would be dropped or misread. Barrier tells that what was sent before
// has been processed.
//
// # The fd store
//
// Store leaves descriptors with the manager, from where the service's next run
// inherits them by name (package activation). The unit sets
// FileDescriptorStoreMax=.
//
// # A manager
//
// Listen makes a notification socket, and Receive returns the messages in order,
// with the sender's credentials and descriptors. Each one is closed once it has
// been dealt with, which also answers a barrier:
//
//	r, err := notify.Listen("/run/app/notify")
//	...
//	for {
//		m, err := r.Receive(ctx)
//		if errors.Is(err, notify.ErrRefused) {
//			continue // malformed: thrown away
//		}
//		if err != nil {
//			return err
//		}
//		handle(m)
//		m.Close()
//	}
//
// Package notifytest has a manager for tests.
//
// The protocol exists on Linux only. Elsewhere the package builds; no manager
// sets NOTIFY_SOCKET there, so Open returns nil.
package notify
