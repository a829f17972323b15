// Package flametest drives a headless Chromium over its debugging pipe, for
// tests that use a page as people do and for pictures of it.
package flametest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// ErrNoBrowser says that no Chromium was found.
var ErrNoBrowser = errors.New("no Chromium on this machine: sh scripts/setup.sh installs it")

// Page is one page in a browser of its own. It is for one goroutine.
type Page struct {
	cmd     *exec.Cmd
	profile string
	in      *os.File // what we say to the browser
	out     *bufio.Reader
	outFile *os.File
	id      int
	session string
	loads   int // pages that have loaded
}

// Open starts a browser with an empty page of width by height CSS pixels. The
// browser ends with [Page.Close] or with the context. The error is
// [ErrNoBrowser] where there is none.
func Open(ctx context.Context, width, height int) (*Page, error) {
	name := find()
	if name == "" {
		return nil, ErrNoBrowser
	}
	p, err := start(ctx, name, width, height)
	if err != nil && ctx.Err() == nil {
		// On a busy machine a browser now and then dies as it starts.
		p, err = start(ctx, name, width, height)
	}
	return p, err
}

func start(ctx context.Context, name string, width, height int) (*Page, error) {
	dir, err := os.MkdirTemp("", "chromium")
	if err != nil {
		return nil, err
	}
	toRead, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, toWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	p := &Page{profile: dir, in: in, out: bufio.NewReader(out), outFile: out}
	p.cmd = exec.CommandContext(ctx, name, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars",
		"--force-device-scale-factor=1", "--user-data-dir="+dir, "--remote-debugging-pipe", "about:blank")
	p.cmd.ExtraFiles = []*os.File{toRead, toWrite} // 3 and 4, as the flag wants
	p.cmd.WaitDelay = 5 * time.Second
	var said bytes.Buffer
	p.cmd.Stderr = &said
	err = p.cmd.Start()
	_, _ = toRead.Close(), toWrite.Close() // the browser has its own
	if err != nil {
		_, _, _ = in.Close(), out.Close(), os.RemoveAll(dir)
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := p.attach(width, height); err != nil {
		p.Close()
		return nil, fmt.Errorf("%w; the browser said: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	return p, nil
}

func find() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome", "headless_shell"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func (p *Page) attach(width, height int) error {
	var target struct{ TargetID string }
	if err := p.call("Target.createTarget", map[string]any{"url": "about:blank"}, &target); err != nil {
		return err
	}
	var attached struct{ SessionID string }
	if err := p.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached); err != nil {
		return err
	}
	p.session = attached.SessionID
	if err := p.call("Page.enable", nil, nil); err != nil {
		return err
	}
	return p.Resize(width, height)
}

// Close ends the browser and removes what it wrote.
func (p *Page) Close() {
	p.session = ""
	_ = p.call("Browser.close", nil, nil)
	_, _ = p.in.Close(), p.outFile.Close()
	_ = p.cmd.Wait() // it was told to end: how is its business
	_ = os.RemoveAll(p.profile)
}

// call asks the browser for something and reads on until the answer comes.
func (p *Page) call(method string, params any, result any) error {
	p.id++
	message := map[string]any{"id": p.id, "method": method}
	if params != nil {
		message["params"] = params
	}
	if p.session != "" {
		message["sessionId"] = p.session
	}
	data, err := json.Marshal(message)
	if err != nil {
		return err
	}
	if _, err := p.in.Write(append(data, 0)); err != nil {
		return fmt.Errorf("browser: %w", err)
	}
	for {
		answer, err := p.read()
		if err != nil {
			return fmt.Errorf("%s: %w", method, err)
		}
		if answer.ID != p.id {
			continue
		}
		if answer.Error.Message != "" {
			return fmt.Errorf("%s: %s", method, answer.Error.Message)
		}
		if result == nil {
			return nil
		}
		return json.Unmarshal(answer.Result, result)
	}
}

type answer struct {
	ID     int
	Method string
	Result json.RawMessage
	Error  struct{ Message string }
}

func (p *Page) read() (a answer, err error) {
	data, err := p.out.ReadBytes(0)
	if err != nil {
		return a, fmt.Errorf("browser: %w", err)
	}
	if err := json.Unmarshal(data[:len(data)-1], &a); err != nil {
		return a, fmt.Errorf("browser: %w", err)
	}
	if a.Method == "Page.loadEventFired" {
		p.loads++
	}
	return a, nil
}

// Go opens an address and waits until the page has loaded.
func (p *Page) Go(url string) error {
	was := p.loads
	if err := p.call("Page.navigate", map[string]any{"url": url}, nil); err != nil {
		return err
	}
	for p.loads == was {
		if _, err := p.read(); err != nil {
			return err
		}
	}
	return nil
}

// Resize gives the page a size in CSS pixels.
func (p *Page) Resize(width, height int) error {
	return p.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}, nil)
}

// Dark says whether the user prefers dark pages. It holds for pages opened later.
func (p *Page) Dark(dark bool) error {
	value := "light"
	if dark {
		value = "dark"
	}
	return p.call("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{{"name": "prefers-color-scheme", "value": value}}}, nil)
}

// Eval runs an expression in the page and stores what it gives in result,
// which may be nil. It waits for promises.
func (p *Page) Eval(expression string, result any) error {
	var out struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails *struct {
			Exception struct{ Description string }
		}
	}
	err := p.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true, "awaitPromise": true, "userGesture": true}, &out)
	switch {
	case err != nil:
		return err
	case out.ExceptionDetails != nil:
		return fmt.Errorf("%s: %s", expression, out.ExceptionDetails.Exception.Description)
	case result == nil || len(out.Result.Value) == 0:
		return nil
	}
	return json.Unmarshal(out.Result.Value, result)
}

// Press presses keys by their names: "ArrowDown", "Enter", "Escape", "Tab", or
// characters.
func (p *Page) Press(keys ...string) error {
	codes := map[string]int{"Enter": 13, "Escape": 27, "Tab": 9, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
	for _, key := range keys {
		down := map[string]any{"type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": codes[key]}
		switch {
		case len([]rune(key)) == 1:
			down["text"] = key
			delete(down, "code")
			delete(down, "windowsVirtualKeyCode")
		case key == "Enter":
			down["text"] = "\r"
		}
		up := map[string]any{"type": "keyUp", "key": key}
		for _, event := range []map[string]any{down, up} {
			if err := p.call("Input.dispatchKeyEvent", event, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// Type presses a key for every character.
func (p *Page) Type(s string) error {
	return p.Press(slices.Collect(strings.SplitSeq(s, ""))...)
}

// Click presses the left button in the middle of the first element that the
// selector finds.
func (p *Page) Click(selector string) error {
	var at []float64
	find := fmt.Sprintf(`(() => { const e = document.querySelector(%q); if (!e) return []; e.scrollIntoView({block: "nearest"}); const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()`, selector)
	if err := p.Eval(find, &at); err != nil {
		return err
	}
	if len(at) != 2 {
		return fmt.Errorf("there is no %s", selector)
	}
	for _, kind := range []string{"mouseMoved", "mousePressed", "mouseReleased"} {
		event := map[string]any{"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1}
		if err := p.call("Input.dispatchMouseEvent", event, nil); err != nil {
			return err
		}
	}
	return nil
}

// Screenshot is what the page shows, as a PNG.
func (p *Page) Screenshot() ([]byte, error) {
	var shot struct{ Data string }
	if err := p.call("Page.captureScreenshot", map[string]any{"format": "png"}, &shot); err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(shot.Data)
}
