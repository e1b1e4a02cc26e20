// Package parcel carries descriptors, and bytes that say what they are, from
// one generation of a service to the next inside one Unix socket.
//
// A parcel is a Unix SOCK_SEQPACKET socket pair. The writer puts messages into
// its queue, each with up to 253 descriptors (SCM_RIGHTS, unix(7)); whoever holds
// the read end holds everything in it. Across a restart the service manager's fd
// store keeps the read end, one entry for thousands of connections; across a
// reload it is passed on to the running successor while it is still being filled.
//
// The generation that goes:
//
//	w, readEnd, err := parcel.New(parcel.WriterOptions{})
//	// store readEnd: FDSTORE=1, FDNAME=..., FDPOLL=0 of sd_notify(3); then close it
//	for _, c := range conns {
//		err := w.Put(ctx, parcel.Entry{
//			Kind: "conn", Name: "echo", Payload: c.state,
//			Descriptors: []syscall.Conn{c.tcp},
//			Done:        func(err error) { c.tcp.Close() }, // err: the client is cut off
//		})
//	}
//	err = w.Close(ctx) // all of it is in the parcel
//
// The generation that comes:
//
//	r, err := parcel.NewReader(file, parcel.ReaderOptions{}) // file: inherited
//	found, err := r.Peek(check)                              // before READY=1
//	for {
//		items, err := r.Receive(ctx) // after it
//		if err == io.EOF {
//			break // everything came; now FDSTOREREMOVE=1
//		}
//		for _, it := range items {
//			c, err := it.Conn(0)
//			go serve(c, it.Payload)
//		}
//	}
//
// The store must be told FDPOLL=0 (v246): a writer that has gone hangs the read
// end up, and the manager otherwise drops it for that.
//
// # What is guaranteed
//
// What Done was called for with nil is in the parcel as a whole, descriptors
// and payload, and survives the writer. For everything else the caller still has
// what it gave. A writer that crashes leaves a parcel without END record: what is
// there is whole, and the reader is told (ErrTruncated).
//
// A message leaves the parcel when Receive returns it, not before: Receive looks
// at a copy, has all of its descriptors in hand and understands it, and only then
// drops it from the queue. Too few free descriptors, a module of the kernel that
// withholds some (MSG_CTRUNC), an unknown version or garbage are errors that lose
// nothing. Reading takes out of the one queue that all copies of the read end
// share. So a reader that crashes loses the messages that it had received, at
// most 252 entries at a time, and no more, while another copy of the read end is
// open: the manager keeps one until the END record was received (Drained tells),
// and the next generation reads on. It is told how much was taken before
// (ErrTaken). A parcel has one reader at a time; two that read at once may each
// lose messages.
//
// A parcel of which the last copy is closed takes what is in it along: peers of
// connections see them reset.
//
// # Limits
//
// A limit ends in a LimitError, with the limit, its value and the count.
//
//   - RLIMIT_NOFILE of the reader bounds what it can receive. Peek says so before
//     anything is taken.
//   - Descriptors in flight: a user's, in all its sockets, may be as many as the
//     sender's soft RLIMIT_NOFILE and one message more, unless the sender has
//     CAP_SYS_RESOURCE or CAP_SYS_ADMIN (getrlimit(2)).
//   - net.core.wmem_max bounds the queue of a sender without CAP_NET_ADMIN. A
//     message of 252 descriptors takes 384 bytes of it, so the usual 212,992 hold
//     129,000 descriptors.
//
// # Wire format, version 1.0
//
// All numbers are little-endian and unsigned. A parcel is a sequence of messages,
// each one sendmsg(2) of at most 65,536 bytes and 253 descriptors. An empty
// message is not allowed, since it looks like the end of the socket. Every message
// begins with a header:
//
//	offset size
//	 0      8   magic, the bytes "HFPARCEL"
//	 8      2   major version, 1
//	10      2   minor version, 0
//	12      1   type: 1 DATA, 2 END
//	13      1   flags: bit 0, the body is in a memfd; all others 0
//	14      2   number of descriptors attached to this message
//	16      4   header length H, 64 or more
//	20      4   number of entries in this message
//	24      8   body length B, in bytes
//	32      8   sequence number: 1 for the first message, then one more each
//	40      8   entries in all messages before this one
//	48      8   descriptors of those entries
//	56      8   bytes of the payloads of those entries
//	64    H-64  not for this version: to be skipped
//
// The body follows the header and ends the message. Or flag bit 0 is set, nothing
// follows the header, and the first descriptor is a memfd that holds the body
// from offset 0 and nothing else, with the seals F_SEAL_SHRINK, F_SEAL_GROW and
// F_SEAL_WRITE (memfd_create(2), fcntl(2)). A writer chooses freely: bodies of
// more than a few KiB and secrets belong into a memfd.
//
// A DATA message has one entry or more, and its body is nothing but these, one
// behind the other:
//
//	offset size
//	 0      4   head length E: where the payload begins, 24 + K + N or more,
//	            at most 65,536
//	 4      2   length K of the kind, at most 255
//	 6      2   length N of the name, at most 255
//	 8      2   number of descriptors D
//	10      2   flags: bit 0, the payload is secret; all others 0
//	12      4   reserved: written as 0, not looked at
//	16      8   payload length P
//	24      K   kind, any bytes
//	24+K    N   name, any bytes
//	24+K+N  ..  up to E: not for this version: to be skipped
//	E       P   payload
//
// The descriptors behind the memfd, if there is one, belong to the entries in
// their order: the first D to the first entry, and so on. There are as many as the
// entries say, at most 252. The body of a message with several entries has at
// most 1,048,576 bytes.
//
// The END message is the last. It has no entries, descriptors or body, so that
// its header counts the whole parcel.
//
// A reader refuses a message of another major version, of an unknown type or
// with unknown flags, and one whose numbers do not fit each other. It accepts any
// minor version: those differ in what is skipped. The first sequence number that
// it sees may be above 1, and one may be missing: then another reader has taken
// the messages before, and the header says how much that was.
//
// Socket options are in no message. They belong to the socket and travel with it;
// adoption by net.FileConn turns some on, and Item.NetConn puts them back.
//
// # HANDOFF_SOCKET, version 1
//
// A manager that starts a generation while its predecessor still runs cannot
// hand everything over at its start. The generation inherits one end of a
// connected Unix SOCK_SEQPACKET socket pair, and the variable HANDOFF_SOCKET has
// its number in decimal, above 2. It is inherited as the sockets of LISTEN_FDS
// are, but not counted there: through a shell, another user, a sandbox or a
// network namespace, and nobody else can connect to it. The generation unsets the
// variable and makes the descriptor close-on-exec, so that no child takes it. A
// program that does not know the variable loses nothing but what would come.
//
// Each message is text, at most 4,096 bytes: lines of KEY=VALUE separated by
// newlines, the first being HANDOFF=1. Keys that are not known are ignored, and
// messages without a known key; of two lines with one key the first counts. A
// message of another version is refused, and one that says two of these at once.
//
//	HANDOFF=1        manager to generation, with 1 to 253 descriptors: what was
//	ID=7             stored under the name, as FDNAME= of sd_notify(3) has it.
//	FDNAME=conns     IDs are decimal, above 0, and rise
//
//	HANDOFF=1        generation to manager: it has what ID 7 brought, and the
//	TAKEN=7          manager may close its copies. Of a parcel: the END record
//	                 has been received
//
//	HANDOFF=1        manager to generation: no predecessor holds anything any
//	OWNED=1          more; all that they left was delivered before
//
//	HANDOFF=1        manager to generation: the service leaves a load balancer's
//	QUIESCE=1        rotation. Tell balancers and clients so, go on accepting, and
//	                 when told to stop finish connections: nobody comes for them
//
//	HANDOFF=1        manager to generation: it stays after all
//	QUIESCE=0
//
// The manager keeps its copies of what was not acknowledged for the next
// generation. The end of the socket says to either side that the other has gone.
//
// A generation that can go on after it has given everything up says so to its
// manager with its READY=1 (sd_notify(3)), in the same notification:
// X_HANDOFF_RESUMABLE=1. When its successor is ready it then gets no stop signal
// yet, but
//
//	HANDOFF=1        manager to generation: accept nothing more, finish what is
//	RELEASE=3        under way, and leave the rest (connections, states) in parcels
//	                 in the store. The number is the manager's choice
//
//	HANDOFF=1        generation to manager: that is done. All of it was stored
//	RELEASED=3       before (see BARRIER=1), and the parcels have their END record
//
// Next comes the stop signal, because the successor has acknowledged all that it
// was delivered, or
//
//	HANDOFF=1        manager to generation: the successor has failed. Go on as
//	RESUME=3         before RELEASE=3, whether that is done by now or not
//
//	HANDOFF=1        generation to manager: it serves again
//	RESUMED=3
//
// What the generation had stored, what it was delivered before RELEASE and has not
// acknowledged, and what its successor leaves, comes by new deliveries, before
// RESUME or after it: what the successor was given when no process of that is left.
// What the successor had taken does not come back, unless it has stored it again. So a generation that resumes goes on with its states as
// it has saved them, from its own memory, and drops what it finds of them in a
// parcel; connections it takes over. The stop signal may come at any time instead.
// To a generation that does not say that it can do this, it comes as soon as the
// successor is ready.
//
// Intake is a generation's side, Deliverer a manager's.
package parcel
