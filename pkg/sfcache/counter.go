package sfcache

import (
	"sync/atomic"
	"unsafe"
)

// hitCounter counts what comes in crowds, exactly and without making processors
// wait for each other: a single counter that two of them raise costs more than
// the rest of a hit.
type hitCounter struct {
	cells [cells]struct {
		n atomic.Int64
		_ [120]byte // two cache lines apart: processors fetch them in pairs
	}
}

const cells = 32

// add raises the cell that belongs to the calling goroutine's stack: it is the
// only thing at hand that differs between goroutines and costs nothing to
// know. The address is hashed and never followed. Goroutines that share a cell
// count right, only slower.
func (c *hitCounter) add() {
	var here byte
	at := uint64(uintptr(unsafe.Pointer(&here))) >> 11 // stacks are 2 KiB or more
	c.cells[at*0x9e3779b97f4a7c15>>(64-5)].n.Add(1)
}

func (c *hitCounter) sum() (n int64) {
	for i := range c.cells {
		n += c.cells[i].n.Load()
	}
	return n
}
