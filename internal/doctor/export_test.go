package doctor

import "time"

// What golden tests look at without a broken disk, a public address or an hour
// of difference between clocks.
var (
	MendFolder = mendFolder
	MendPull   = mendPull
	Room       = room
	Open       = open
	Exposed    = exposure
	MendRemark = mendRemark
)

type (
	Owner  = owner
	Person = person
)

// NewOwner and NewPerson make what [Open] asks for.
func NewOwner(uid, gid int) Owner { return owner{uid, gid} }

// NewPerson is one with or without a command chmod.
func NewPerson(uid int, noChmod bool, groups ...int) Person { return person{uid, groups, noChmod} }

// Reach is the next step where a server was not reached.
func Reach(host, url, key string, err error) string { return server{host, url, key}.reach(err) }

// Clock is what is told of somebody's clock that is so far ahead.
func Clock(whose string, ahead time.Duration) Result { return clock{whose, ahead}.result() }
