package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/profbot/profbot/internal/demo"
	"github.com/profbot/profbot/internal/demo/fleet"
)

type demoCmd struct {
	Out    string        `help:"Folder for the picture, the flame graph, the profiles and the thread." default:"profbot-demo" type:"path"`
	Keep   bool          `help:"Leave everything running until Ctrl-C, to look around."`
	Labels bool          `help:"Set profiler labels in the demo's services, so that routes have names." default:"true" negatable:""`
	Window time.Duration `help:"Length of the CPU profile, 8s to 5m." default:"10s"`
}

func (c *demoCmd) Run(ctx context.Context, s streams) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program, to run it as the demo's services: %w", err)
	}
	p := newProgress(s.out)
	_, err = demo.Run(ctx, demo.Options{
		Exe: exe, PodArgs: []string{"demo-pod"}, Out: c.Out, Labels: c.Labels, Window: c.Window, Keep: c.Keep, Progress: p.tell,
		Ready: func(r demo.Result) {
			p.end()
			c.show(s.out, r)
			if c.Keep {
				fmt.Fprintf(s.out, "\nEverything keeps running, the traffic too. Ctrl-C ends it. Another alert, from another terminal:\n  profbot trigger %s\n", strings.Join(r.Trigger, " "))
				<-ctx.Done()
			}
		},
	})
	p.end()
	return err
}

// show prints the summary.
func (c *demoCmd) show(w io.Writer, r demo.Result) {
	fmt.Fprintf(w, "\n%s\n\n", r.Report.Headline())
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "ENDPOINT\tCPU\tDECODE (95 %)\tSAMPLES\tBYTES FROM\tVERDICT")
	for _, e := range r.Report.Endpoints {
		if e.Share.Part < 0.01 {
			break
		}
		mark := ""
		if e.Verdict.Flagged {
			mark = "FLAGGED: "
		}
		fmt.Fprintf(tw, "%s\t%.0f %%\t%s\t%d\t%s\t%s%s\n", e.Name, 100*e.Share.Part, e.Decode, e.Share.Samples, e.BytesFrom(), mark, e.Verdict.Title)
	}
	_ = tw.Flush() // to the terminal
	for _, e := range r.Report.Flagged() {
		fmt.Fprintf(w, "\n%s: %s\n", e.Name, e.Verdict.Next)
	}
	fmt.Fprintln(w)
	c.showProof(w, r)
	var sent int64
	for _, l := range r.Load {
		sent += l.Requests
	}
	fmt.Fprintf(w, "\nFrom the alert to the verdict: %s. Requests sent: %d.\n\n", r.Took.Round(100*time.Millisecond), sent)
	fmt.Fprintf(w, "Flame graph   %s/%s  (interactive: %s/%s; with the fix: %s, %s)\n",
		c.Out, demo.FilePicture, c.Out, demo.FileFlame, demo.FilePictureAfter, demo.FileFlameAfter)
	fmt.Fprintf(w, "Slack thread  %s/%s, %s/%s\n", c.Out, demo.FilePage, c.Out, demo.FileThread)
	fmt.Fprintf(w, "Profiles      %s/profiles  (try: profbot analyze %s/profiles/*.cpu.pb.gz)\n", c.Out, c.Out)
	if c.Keep {
		fmt.Fprintf(w, "Pages         %s (the thread) and %s (the report), while it runs\n", r.PageURL, r.ReportURL)
	} else {
		fmt.Fprintf(w, "Pages         were at %s (the thread) while it ran; --keep leaves it running\n", r.PageURL)
	}
}

// showProof prints what the fix changed.
func (c *demoCmd) showProof(w io.Writer, r demo.Result) {
	fmt.Fprintf(w, "After the fix, at the same load: %s\n\n", r.Proof.Headline())
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "\tBEFORE\tAFTER\t")
	for _, ch := range r.Proof.Endpoints {
		fmt.Fprintf(tw, "%s: decoding, of its CPU\t%s\t%s\t%s\n", ch.Name, ch.Before, ch.After, ch.Outcome)
	}
	for _, ch := range r.Proof.Endpoints {
		fmt.Fprintf(tw, "%s: of the service's CPU\t%s\t%s\t\n", ch.Name, ch.CPUBefore, ch.CPUAfter)
	}
	fmt.Fprintf(tw, "requests per CPU-second\t%.0f\t%.0f\t%.1f times\n", r.Proof.Before, r.Proof.After, r.Proof.Gain())
	_ = tw.Flush() // to the terminal
}

// progress shows steps: on a terminal a live line per step, elsewhere plain lines.
type progress struct {
	w     io.Writer
	live  bool
	width int
	open  bool // the cursor stands in a live line
	last  string
}

func newProgress(w io.Writer) *progress {
	p := &progress{w: w, width: 100}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		p.live = true
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			p.width = width
		}
	}
	return p
}

// tell begins a step, or shows a remark on the one under way.
func (p *progress) tell(step, remark string) {
	if step != "" {
		p.end()
		fmt.Fprintf(p.w, "• %s\n", step)
		p.last = ""
	}
	if remark == "" || remark == p.last {
		return
	}
	p.last = remark
	if !p.live {
		fmt.Fprintf(p.w, "    %s\n", remark)
		return
	}
	line := []rune("    " + remark)
	if len(line) > p.width-1 {
		line = append(line[:p.width-2], '…')
	}
	fmt.Fprintf(p.w, "\r%s\r%s", strings.Repeat(" ", p.width-1), string(line))
	p.open = true
}

// end finishes a live line.
func (p *progress) end() {
	if p.open {
		fmt.Fprintln(p.w)
		p.open = false
	}
}

// demoPodCmd is one of the demo's services; the demo runs this program again with it.
type demoPodCmd struct {
	Name   string `required:""`
	Redis  string `required:""`
	Labels bool   `default:"true" negatable:""`
}

func (c *demoPodCmd) Run(ctx context.Context, s streams) error {
	return fleet.RunPod(ctx, fleet.PodConfig{Name: c.Name, Redis: c.Redis, Labels: c.Labels}, s.in, s.out)
}
