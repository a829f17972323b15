package sfredis

import "time"

// SetQuiet makes r find out sooner that a connection is dead. Call it before r
// is used.
func SetQuiet(r *Remote, d time.Duration) { r.quiet = d }
