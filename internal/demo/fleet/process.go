package fleet

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// process is a pod's operating system process.
type process struct {
	Pod
	cmd    *exec.Cmd
	stdin  io.Closer // the pod ends when this does, by us or by our death
	stderr *tail
	done   chan struct{} // closed when the process has ended and was waited for
	exit   error         // how it ended; read only after done
}

// startProcess runs a pod and waits for its announcement.
func startProcess(ctx context.Context, opt Options, name, redis string, grace time.Duration) (*process, error) {
	args := append(append([]string{}, opt.Args...), "--name="+name, "--redis="+redis, fmt.Sprintf("--labels=%t", opt.Labels))
	// Not CommandContext: a pod that serves outlives the start.
	cmd := exec.Command(opt.Exe, args...) //nolint:noctx // see above
	cmd.Env = append(os.Environ(), opt.Env...)
	cmd.WaitDelay = time.Second // for its output, when a child of the pod holds it open
	said := make(chan []byte, 1)
	p := &process{cmd: cmd, stderr: &tail{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &firstLine{to: said}, p.stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the process; end waits for it
		p.exit = cmd.Wait()
		close(p.done)
	}()
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, errors.New("no announcement within "+startTimeout.String()))
	defer cancel()
	select {
	case line := <-said:
		p.Pod, err = announced(name, line)
	case <-p.done:
		err = fmt.Errorf("it ended without an announcement: %w", p.exit)
		if p.exit == nil {
			err = errors.New("it ended without an announcement")
		}
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		p.end(grace)
		return nil, fmt.Errorf("%w; its stderr: %s", err, p.stderr)
	}
	return p, nil
}

// announced reads the line that a pod writes when it serves.
func announced(name string, line []byte) (Pod, error) {
	var a announcement
	if err := json.Unmarshal(line, &a); err != nil {
		return Pod{}, fmt.Errorf("its announcement %.100q: %w", line, err)
	}
	if a.API == "" || a.Pprof == "" || a.Control == "" {
		return Pod{}, fmt.Errorf("its announcement %.100q lacks an address", line)
	}
	return Pod{Name: name, API: a.API, Pprof: a.Pprof, Control: a.Control, PID: a.PID}, nil
}

// end closes the pod's stdin, waits, and kills it when that takes longer than
// grace.
func (p *process) end(grace time.Duration) {
	_ = p.stdin.Close() // closed by an earlier call: then it has ended
	late := time.NewTimer(grace)
	defer late.Stop()
	select {
	case <-p.done:
	case <-late.C:
		_ = p.cmd.Process.Kill() // ended in this moment: what was wanted
		<-p.done
	}
}

// maxLine is how long an announcement may be; a real one has about 100 bytes.
const maxLine = 4 << 10

// firstLine sends the first line written to it, at most maxLine long, and
// drops what follows.
type firstLine struct {
	to   chan<- []byte // has room for one; nil when the line was sent
	line []byte
}

func (f *firstLine) Write(p []byte) (int, error) {
	if f.to == nil {
		return len(p), nil
	}
	line, _, whole := bytes.Cut(p, []byte{'\n'})
	f.line = append(f.line, line...)
	if whole || len(f.line) > maxLine {
		f.to <- f.line[:min(len(f.line), maxLine)]
		f.to = nil
	}
	return len(p), nil
}

// tail keeps the last 4 KiB of what a pod writes to stderr, for the error that
// says why it ended.
type tail struct {
	mu sync.Mutex // protects b
	b  []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - 4<<10; over > 0 {
		t.b = t.b[over:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.b))
}
