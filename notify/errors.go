package notify

import "errors"

// Conditions that a caller may want to tell apart, for errors.Is.
var (
	// ErrGone: nobody reads the notification socket. The next send tries again.
	ErrGone = errors.New("no manager reads the notification socket")
	// ErrBlocked: the manager did not take the message, or did not answer the
	// barrier, before the deadline. The error wraps the context's, too.
	ErrBlocked = errors.New("the manager did not answer in time")
	// ErrTooLarge: the message is longer than MaxMessage.
	ErrTooLarge = errors.New("message too large")
	// ErrTooManyFiles: more descriptors than MaxFiles for one message.
	ErrTooManyFiles = errors.New("too many descriptors")
	// ErrInvalid: a field, name, address or variable that the protocol cannot
	// carry or that does not follow it.
	ErrInvalid = errors.New("invalid")
	// ErrTruncated: descriptors were lost on the way in, as happens when the
	// receiver has reached its limit of open files.
	ErrTruncated = errors.New("descriptors lost")
	// ErrRefused: Receive threw a message away. The Receiver goes on.
	ErrRefused = errors.New("message refused")
)
