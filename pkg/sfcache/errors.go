package sfcache

import (
	"errors"
	"fmt"
	"runtime/debug"
)

var (
	// ErrNotFound is what a loader returns for a key that has no value. It may
	// be wrapped, and Config.NotFound may name another error in its place.
	ErrNotFound = errors.New("sfcache: not found")
	// ErrClosed is returned by the methods of a Cache after Close.
	ErrClosed = errors.New("sfcache: closed")
	// ErrGoexit is the Value of a [*PanicError] when a function called
	// runtime.Goexit, as testing.T.FailNow does, instead of returning.
	ErrGoexit = errors.New("runtime.Goexit was called")
)

// PanicError is what callers get when a loader panicked or called
// runtime.Goexit.
type PanicError struct {
	Value any    // what panic was called with, or ErrGoexit
	Stack []byte // of the goroutine that panicked, as debug.Stack gives it
}

// Error has the value in its first line and the stack behind it.
func (e *PanicError) Error() string { return fmt.Sprintf("sfcache: panic: %v\n\n%s", e.Value, e.Stack) }

// Unwrap returns Value if it is an error, as ErrGoexit is.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}

// KeyError is one key's failure in [Cache.GetMany].
type KeyError struct {
	Key string
	Err error
}

func (e *KeyError) Error() string { return fmt.Sprintf("sfcache: key %q: %v", e.Key, e.Err) }

// Unwrap returns Err.
func (e *KeyError) Unwrap() error { return e.Err }

// protect calls f and turns a panic or a Goexit into an error. After a Goexit
// its caller is not returned to, so it must be the last call of a goroutine;
// results are set before the goroutine's other deferred calls run.
func protect[V any](v *V, err *error, f func() (V, error)) {
	returned := false
	defer func() {
		if returned {
			return
		}
		p := recover()
		if p == nil {
			p = ErrGoexit
		}
		*err = &PanicError{Value: p, Stack: debug.Stack()}
	}()
	*v, *err = f()
	returned = true
}
