package slackbot

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/profbot/profbot/internal/incident"
)

const (
	// shareWait is how long Slack gets to show a picture that it has taken. It
	// answers before it has processed the file, and sometimes never shows it.
	shareWait = 30 * time.Second
	pollFirst = 500 * time.Millisecond
	pollMost  = 8 * time.Second
	// pictureTries is how often a picture may fail, while Slack takes other
	// calls, before a link is told instead: about ten minutes of retries.
	pictureTries = 10
)

// picture is one to share, and the step that shares it. Where it cannot be
// shared, a link is told in the step with "-link" behind it.
type picture struct {
	step, file, title, name string
	data                    []byte
}

// pictures shares what there is to see: the flame graph, and what grew.
func (t *thread) pictures(ctx context.Context) error {
	err := t.picture(ctx, picture{stepPicture, "flame.png", t.u.Report.Headline(), "The flame graph", t.u.Picture})
	if d := t.u.Diff; d != nil && ctx.Err() == nil {
		err = errors.Join(err, t.picture(ctx, picture{stepDiff, "difference.png", "What differs from " + d.Against, "The picture of the difference", d.Picture}))
	}
	return err
}

// picture shares one into the thread, once: a later picture of the same
// incident is on the report page.
//
// The Ref of the step's effect is "" until the bytes are uploaded, which
// nobody sees; then the file's id, saved before the file is shared; and
// "file/ts" of its share, or "file/link" when a link was told instead.
func (t *thread) picture(ctx context.Context, pic picture) error {
	if len(pic.data) == 0 {
		return nil
	}
	e, err := t.led.Load(ctx, pic.step)
	if err != nil || e.State == incident.EffectDone {
		return err
	}
	if e.State == "" {
		e = incident.Effect{State: incident.EffectBegun, At: t.now()}
		if err := t.led.Save(ctx, pic.step, e); err != nil {
			return err
		}
	}
	ts, err := t.share(ctx, pic, &e)
	reason := ""
	switch {
	case ctx.Err() != nil:
		return cmp.Or(err, context.Cause(ctx))
	case err == nil && ts == "":
		reason = "Slack took the picture and does not show it"
	case err != nil:
		if again, saveErr := t.again(ctx, pic, &e, err); again || saveErr != nil {
			return errors.Join(err, saveErr)
		}
		reason = "the picture could not be uploaded (" + err.Error() + ")"
	}
	if reason != "" {
		t.log.WarnContext(ctx, "picture not in the thread, telling a link instead", "incident", t.u.Incident.ID, "step", pic.step, "reason", reason)
		if err := t.link(ctx, pic, reason); err != nil {
			return err
		}
		ts = "link"
	}
	e = incident.Effect{State: incident.EffectDone, Ref: e.Ref + "/" + ts, At: t.now()}
	return t.led.Save(ctx, pic.step, e)
}

// again reports whether another try of a picture may help. It counts those that
// failed, in the effect's Digest: not those that were to come later, and not
// those of a time when Slack took nothing at all.
func (t *thread) again(ctx context.Context, pic picture, e *incident.Effect, err error) (bool, error) {
	fail, _ := errors.AsType[*Error](err)
	switch {
	case fail != nil && fail.refused() && !closed(fail.Code):
		return false, nil
	case fail != nil && (fail.after > 0 || closed(fail.Code)), !t.health.workedSince(e.At):
		return true, nil
	}
	tries, _ := strconv.Atoi(e.Digest) // "" is none so far
	if tries++; tries >= pictureTries {
		return false, nil
	}
	e.Digest, e.At = strconv.Itoa(tries), t.now()
	return true, t.led.Save(ctx, pic.step, *e)
}

// share uploads and shares the picture as far as e says that it is not done
// yet. It returns "" when Slack has the picture and does not show it.
func (t *thread) share(ctx context.Context, pic picture, e *incident.Effect) (ts string, err error) {
	if e.Ref != "" {
		// Killed between sharing and remembering it, or before sharing.
		ts, known, err := t.shared(ctx, e.Ref, e.At, true)
		if err != nil || known {
			return ts, err // sharing what Slack has might show it twice
		}
	} else {
		id, err := t.upload(ctx, pic)
		if err != nil {
			return "", err
		}
		e.Ref, e.Digest = id, ""
		if err := t.led.Save(ctx, pic.step, *e); err != nil {
			return "", err
		}
	}
	err = t.call(ctx, "files.completeUploadExternal", t.channel, callTimeout, func(ctx context.Context) error {
		// No alternative text here: with one, Slack says ok and shares nothing
		// (slackapi/python-slack-sdk#1818). The details tell the picture in words.
		_, err := t.api.CompleteUploadExternalContext(ctx, slack.CompleteUploadExternalParameters{
			Files:   []slack.FileSummary{{ID: e.Ref, Title: clean(pic.title, 250)}},
			Channel: t.channel, ThreadTimestamp: t.ts,
		})
		return err
	})
	if code(err) == "file_not_found" {
		// An upload that was not completed does not live for ever: the next
		// try uploads again.
		e.Ref = ""
		return "", errors.Join(errors.New("the upload has expired"), t.led.Save(ctx, pic.step, *e))
	}
	if err != nil {
		return "", err
	}
	ts, _, err = t.shared(ctx, e.Ref, e.At, false)
	return ts, err
}

// shared waits for the share of a file in the thread and returns its
// timestamp, or "" when none appears. With unsure set, a file that Slack does
// not know was never shared, and there is no need to wait.
func (t *thread) shared(ctx context.Context, id string, since time.Time, unsure bool) (ts string, known bool, err error) {
	wait, end := pollFirst, t.now().Add(shareWait)
	for look := unsure; ; look = true { // right after the sharing there is nothing to see yet
		err = nil
		if look {
			var file *slack.File
			err = t.call(ctx, "files.info", id, callTimeout, func(ctx context.Context) (err error) {
				file, _, _, err = t.api.GetFileInfoContext(ctx, id, 0, 0)
				return err
			})
			fail, _ := errors.AsType[*Error](err)
			switch {
			case err == nil:
				known = true
				if ts := shareIn(file, t.channel, t.ts); ts != "" {
					return ts, true, nil
				}
			case ctx.Err() != nil, fail == nil, fail.after > 0, closed(fail.Code):
				return "", known, err
			case fail.Code == "file_not_found" && unsure:
				return "", false, nil
			case fail.Code == "missing_scope":
				end = t.now() // the thread itself is the only place left to look
			case fail.Code != "file_not_found" && fail.refused():
				return "", known, err
			}
		}
		if !t.now().Before(end) {
			ts, findErr := t.find(ctx, t.channel, t.ts, since, func(m slack.Message) bool {
				return slices.ContainsFunc(m.Files, func(f slack.File) bool { return f.ID == id })
			})
			if ts != "" || findErr != nil {
				return ts, true, findErr
			}
			if code(err) == "file_not_found" {
				err = nil // not known is not shown
			}
			return "", known, err
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return "", known, context.Cause(ctx)
		}
		wait = min(2*wait, pollMost)
	}
}

// shareIn is the timestamp of a file's share in a thread; "" for none.
func shareIn(f *slack.File, channel, thread string) string {
	for _, shares := range []map[string][]slack.ShareFileInfo{f.Shares.Public, f.Shares.Private} {
		for _, s := range shares[channel] {
			if s.Ts != "" && (s.ThreadTs == thread || s.ThreadTs == "") {
				return s.Ts
			}
		}
	}
	return ""
}

// upload gives Slack the bytes and returns the id of the file, which nobody
// sees until it is shared.
func (t *thread) upload(ctx context.Context, pic picture) (id string, err error) {
	var got *slack.GetUploadURLExternalResponse
	err = t.call(ctx, "files.getUploadURLExternal", "", callTimeout, func(ctx context.Context) (err error) {
		got, err = t.api.GetUploadURLExternalContext(ctx, slack.GetUploadURLExternalParameters{
			FileName: pic.file, FileSize: len(pic.data),
		})
		return err
	})
	if err != nil {
		return "", err
	}
	// slack-go would send the bytes in chunks, the token along with them, and
	// end the form twice, which some servers refuse.
	err = t.call(ctx, "file upload", got.FileID, uploadTimeout, func(ctx context.Context) error {
		to, err := url.Parse(got.UploadURL)
		if err != nil {
			return errors.New("slack gave an upload address that is none")
		}
		if !mayUpload(to, t.apiURL) {
			return fmt.Errorf("slack gave an upload address on %q, which is not Slack's", to.Host)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), bytes.NewReader(pic.data))
		if err != nil {
			return errors.New("slack gave an upload address that is none")
		}
		req.Header.Set("Content-Type", "application/octet-stream")
		resp, err := t.http.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("the upload was answered with %q", resp.Status)
		}
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	})
	return got.FileID, err
}

// mayUpload reports whether a picture may be sent to an address: to Slack over
// TLS, or to the host that the API is configured to be on.
func mayUpload(to, api *url.URL) bool {
	if to.Scheme == api.Scheme && strings.EqualFold(to.Host, api.Host) {
		return true
	}
	if to.Scheme != "https" || to.User != nil {
		return false
	}
	host := strings.ToLower(to.Hostname())
	for _, d := range []string{"slack.com", "slack-gov.com"} {
		if host == d || strings.HasSuffix(host, "."+d) {
			return true
		}
	}
	return false
}

// link tells where the picture is when it cannot be in the thread.
func (t *thread) link(ctx context.Context, pic picture, reason string) error {
	step := pic.step + "-link"
	e, err := t.led.Load(ctx, step)
	if err != nil || e.State == incident.EffectDone {
		return err
	}
	_, err = t.post(ctx, step, e, t.channel, t.ts, renderLink(t.u, pic.name, reason), "")
	return err
}
