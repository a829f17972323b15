package pipeline

import "time"

// Enqueue is enqueue, for tests that plan work without a worker.
var Enqueue = (*Pipeline).enqueue

// SetEventGap makes the tries of an event come sooner than after 10 s.
func (p *Pipeline) SetEventGap(d time.Duration) { p.eventGap = d }
