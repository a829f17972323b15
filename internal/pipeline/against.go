package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/profbot/profbot/internal/analysis"
	"github.com/profbot/profbot/internal/flame"
	"github.com/profbot/profbot/internal/incident"
)

// Names of the blobs of a comparison.
const (
	blobDiffPicture = "flame-diff.png"
	blobDiff        = "diff.json"
)

// maxDiffLines is how many differences are told.
const maxDiffLines = 5

// compared is a comparison as it is kept.
type compared struct {
	Against string   `json:"against"`
	Lines   []string `json:"lines,omitempty"`
}

// compare holds the hot pods' profiles against the incident that the order
// names, or else against the control pods, and stores the picture of it. What
// cannot be compared is a note of the report, and no error: the report is what
// matters.
func (p *Pipeline) compare(ctx context.Context, inc incident.Incident, captures []incident.Capture, opt analysis.Options, res *analysis.Result) error {
	rep := res.Report
	if rep.Samples == 0 || inc.Alert.Verifies != "" { // a proof is a comparison of its own
		return nil
	}
	base, says, err := p.base(ctx, inc, captures, opt)
	if err != nil || base == nil {
		if says != "" {
			rep.Notes = append(rep.Notes, says)
		}
		return err
	}
	d := analysis.DiffReports(base.Report, rep)
	if inc.Alert.Order != nil && inc.Alert.Order.Against != "" {
		rep.Diff = d
	}
	tree, err := analysis.DiffTree(base.Tree, res.Tree)
	if err != nil {
		rep.Notes = append(rep.Notes, fmt.Sprintf("not compared with %s: %v", says, err))
		return nil
	}
	lines, title := d.Changes(maxDiffLines), d.Headline()
	if len(lines) == 0 {
		title = "No endpoint and no kind of work differs significantly; the colours are of single functions"
	}
	var png bytes.Buffer
	if err := flame.PNG(&png, tree, flame.Options{Title: title, Subtitle: rep.Service + ", against " + says}); err != nil {
		return fmt.Errorf("draw comparison: %w", err)
	}
	if err := p.Store.PutBlob(inc.ID, blobDiffPicture, png.Bytes()); err != nil {
		return err
	}
	doc, err := json.Marshal(compared{says, lines})
	if err != nil {
		return err
	}
	return p.Store.PutBlob(inc.ID, blobDiff, doc)
}

// base is what there is to compare with, and what it is called in a few plain
// words; nil when there is nothing, and then the words, if any, say why.
func (p *Pipeline) base(ctx context.Context, inc incident.Incident, captures []incident.Capture, opt analysis.Options) (*analysis.Result, string, error) {
	opt.Trees, opt.RateOf, opt.Requests = false, nil, 0
	var says string
	if o := inc.Alert.Order; o != nil && o.Against != "" {
		of, _, err := p.Store.Incident(ctx, o.Against)
		if errors.Is(err, incident.ErrNotFound) {
			return nil, fmt.Sprintf("incident %s, which it was to be compared with, has been deleted since", o.Against), nil
		}
		if err != nil {
			return nil, "", err
		}
		says = fmt.Sprintf("incident %s of %s", of.ID, of.Opened.UTC().Format("2 January 15:04 UTC"))
		if captures, err = p.Store.Captures(ctx, of.ID); err != nil {
			return nil, "", err
		}
		captures = slices.DeleteFunc(captures, func(c incident.Capture) bool { return c.Role != incident.RoleHot })
	} else {
		captures = slices.DeleteFunc(slices.Clone(captures), func(c incident.Capture) bool { return c.Role != incident.RoleControl })
		if len(captures) == 0 {
			return nil, "", nil
		}
		says = captures[0].Pod + ", a cool pod at the same time"
		for i := range captures {
			captures[i].Role = incident.RoleHot // of the report that it is the base in
		}
	}
	l := loading{captures: captures}
	res, err := analysis.AnalyzeSeq(p.load(&l), opt)
	switch {
	case l.err != nil:
		return nil, "", l.err
	case err != nil:
		return nil, fmt.Sprintf("not compared with %s: %v", says, err), nil
	case res.Report.Samples == 0:
		return nil, "", nil // an idle pod is no measure
	}
	return res, says, nil
}

// difference is what compare has kept; nil for nothing.
func (p *Pipeline) difference(id string) (*incident.Difference, error) {
	doc, err := p.Store.Blob(id, blobDiff)
	if errors.Is(err, incident.ErrNotFound) {
		return nil, nil //nolint:nilnil // most reports have nothing to be compared with
	}
	if err != nil {
		return nil, err
	}
	var c compared
	if err := json.Unmarshal(doc, &c); err != nil {
		return nil, fmt.Errorf("read comparison of %q: %w", id, err)
	}
	picture, err := p.Store.Blob(id, blobDiffPicture)
	if err != nil && !errors.Is(err, incident.ErrNotFound) {
		return nil, err
	}
	return &incident.Difference{Against: c.Against, Picture: picture, Lines: c.Lines}, nil
}
