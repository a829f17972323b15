package storm

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// process is the profbot under the storm.
type process struct {
	cmd      *exec.Cmd
	public   string
	internal string
	logFile  string
	done     chan struct{} // closed when it has ended
}

var upLine = regexp.MustCompile(`msg="profbot is up" public=(\S+) internal=(\S+)`)

// start starts profbot and waits until it is up. Its log goes to a file beside
// its configuration.
func start(ctx context.Context, opt Options, config string) (*process, error) {
	p := &process{cmd: exec.CommandContext(context.WithoutCancel(ctx), opt.Exe, append(opt.Args, "--config", config)...), logFile: filepath.Join(opt.Dir, "profbot.log"), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), opt.Env...)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("start profbot: %w", err)
	}
	log, err := os.Create(p.logFile)
	if err != nil {
		return nil, fmt.Errorf("start profbot: %w", err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start profbot: %w", err), log.Close())
	}
	up := make(chan []string, 1)
	go func() { // ends with the process
		defer close(p.done)
		in := bufio.NewScanner(io.TeeReader(stderr, log))
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			if m := upLine.FindStringSubmatch(in.Text()); m != nil {
				up <- m
			}
		}
		_, _ = io.Copy(io.Discard, stderr) // a line too long must not block it
		_ = p.cmd.Wait()                   // stop says how it ended
		_ = log.Close()
	}()
	select {
	case m := <-up:
		p.public, p.internal = m[1], m[2]
		return p, nil
	case <-p.done:
		return nil, fmt.Errorf("profbot did not start; see %s", p.logFile)
	case <-time.After(2 * time.Minute):
		p.kill()
		return nil, fmt.Errorf("profbot is not up after 2m; see %s", p.logFile)
	case <-ctx.Done():
		p.kill()
		return nil, context.Cause(ctx)
	}
}

// kill ends the process at once and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.done
}

// stop asks the process to end, as a deployment does.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		return fmt.Errorf("stop profbot: %w", err)
	}
	select {
	case <-p.done:
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			return fmt.Errorf("profbot ended with %d", code)
		}
		return nil
	case <-time.After(45 * time.Second):
		p.kill()
		return errors.New("profbot did not end within 45s")
	}
}

// peakRSS is the most memory that the process ever held, as Linux tells it; 0
// elsewhere, and when it has ended.
func (p *process) peakRSS() int64 {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			if err == nil {
				return kb << 10
			}
		}
	}
	return 0
}
