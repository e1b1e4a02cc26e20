package activation

import (
	"errors"
	"fmt"
	"strings"
)

// Conditions that a caller may want to handle. Every error of this package that
// has one of these causes wraps it, so that errors.Is finds it.
var (
	// ErrVariable: one of the LISTEN_* variables makes no sense. The error
	// quotes the variable and its value. Nothing is inherited.
	ErrVariable = errors.New("malformed variable")

	// ErrNames: LISTEN_FDNAMES does not name as many descriptors as LISTEN_FDS
	// counts. Every descriptor is inherited, under the name Unknown.
	ErrNames = errors.New("names do not match descriptors")

	// ErrNotOpen: a descriptor that LISTEN_FDS announces is not open. The others
	// are inherited.
	ErrNotOpen = errors.New("descriptor is not open")

	// ErrNotActivated: the process inherited nothing, so there is nothing to take.
	ErrNotActivated = errors.New("the process was not activated")

	// ErrNoName: the process was activated, but not with that name.
	ErrNoName = errors.New("no descriptor of that name was inherited")

	// ErrTaken: what there was of that name and kind has been taken before.
	ErrTaken = errors.New("already taken")

	// ErrKind: there are descriptors of that name, but they are something else.
	// They stay where they are and can still be taken as what they are.
	ErrKind = errors.New("wrong kind of descriptor")

	// ErrSeveral: one was asked for and several of that name and kind are there.
	// None is taken: take them all with the method for several.
	ErrSeveral = errors.New("several descriptors of that name and kind")

	// ErrNotListening: the descriptor is a bound stream socket that does not listen. A
	// process that shares it has shut it down. See [Set.Relisten].
	ErrNotListening = errors.New("the socket is bound but does not listen")

	// ErrName: a name that LISTEN_FDNAMES cannot carry. See [CheckName].
	ErrName = errors.New("invalid descriptor name")

	// ErrNoStep: Start was called in a program whose main does not call ExecStep.
	ErrNoStep = errors.New("main does not call activation.ExecStep first")
)

// Descriptor says what is known of one inherited descriptor.
type Descriptor struct {
	Name string
	FD   int
	Kind Kind
}

// String gives the name, number and kind for a message.
func (d Descriptor) String() string {
	return fmt.Sprintf("%q (fd %d): %v", d.Name, d.FD, d.Kind)
}

// UnclaimedError is what [Set.Close] returns for descriptors that nobody took.
// It closed them.
type UnclaimedError struct {
	Descriptors []Descriptor
}

func (e *UnclaimedError) Error() string {
	var list []string
	for _, d := range e.Descriptors {
		list = append(list, d.String())
	}
	return "activation: closed what nobody took: " + strings.Join(list, ", ")
}
