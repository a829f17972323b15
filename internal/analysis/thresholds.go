package analysis

import "cmp"

// Thresholds are the limits of the rules. The zero value of a field means its
// default. Where a limit is one of a share, it is the lower end of the share's
// 95 % interval that has to reach it, so that a lucky sample flags nobody.
type Thresholds struct {
	// MinShare: an endpoint below this share of the process's CPU gets no
	// verdict that asks for work. Default 0.05.
	MinShare float64
	// MinSamples: an endpoint with fewer samples gets [RuleFewSamples].
	// Default 100.
	MinSamples int64
	// Dominated: the share of an endpoint at which decoding or encoding
	// dominates it. Default 0.25.
	Dominated float64
	// Compress: the same of compression and decompression. Default 0.25.
	Compress float64
	// GC: the collector's share of the process's CPU, with allocation and
	// assists ([RuleGC]). Default 0.25.
	GC float64
	// RegexpCompile: compiling regular expressions, as a share of an endpoint
	// ([RuleRegexpCompile]). Default 0.01: it is a mistake at any size.
	RegexpCompile float64
	// Hot: what one kind of avoidable work (matching regular expressions,
	// reflection outside codecs, formatting, logging, copying memory) takes of
	// an endpoint ([RuleRegexp] and its neighbours). Default 0.15.
	Hot float64
	// LockWait: seconds that goroutines of one pod wait for locks, for each
	// second of the window ([RuleLock]). Default 0.5.
	LockWait float64
	// PileUp: goroutines of one pod that wait at one place ([RulePileUp]), if
	// they are at least half of those that are not idle. Default 100.
	PileUp int64
	// HeapGrowth: by how much of its size the live heap has to grow between
	// two snapshots ([RuleHeapGrowth]). Default 0.1.
	HeapGrowth float64
}

// WithDefaults fills the zero fields.
func (t Thresholds) WithDefaults() Thresholds {
	t.MinShare = cmp.Or(t.MinShare, 0.05)
	t.MinSamples = cmp.Or(t.MinSamples, 100)
	t.Dominated = cmp.Or(t.Dominated, 0.25)
	t.Compress = cmp.Or(t.Compress, 0.25)
	t.GC = cmp.Or(t.GC, 0.25)
	t.RegexpCompile = cmp.Or(t.RegexpCompile, 0.01)
	t.Hot = cmp.Or(t.Hot, 0.15)
	t.LockWait = cmp.Or(t.LockWait, 0.5)
	t.PileUp = cmp.Or(t.PileUp, 100)
	t.HeapGrowth = cmp.Or(t.HeapGrowth, 0.1)
	return t
}
