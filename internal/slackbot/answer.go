package slackbot

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/profbot/profbot/internal/slackbot/receive"
)

// response is the body of an answer that only one person sees, as an
// acknowledgement and as a post to a response address.
type response struct {
	Type    string        `json:"response_type"`
	Replace bool          `json:"replace_original"` // false: what was clicked on stays
	Text    string        `json:"text"`
	Blocks  []slack.Block `json:"blocks,omitempty"`
}

// maxBody is where an acknowledgement becomes plain: Socket Mode drops one of
// 20 kB or more, and says nothing.
const maxBody = 16_000

var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// ephemeral is a message to one person.
func ephemeral(m Message) response {
	r := response{Type: "ephemeral", Text: escape.Replace(m.Text), Blocks: m.Blocks}
	if data, err := json.Marshal(r); err == nil && len(data) > maxBody {
		r.Blocks = plainest(m)
	}
	return r
}

// answer tells the person what came of it. Who typed a command or clicked sees
// the answer alone; a mention is answered in its thread for everybody to see,
// unless it is a problem.
func (t *talk) answer(ctx context.Context, m Message, problem bool) {
	var err error
	switch {
	case t.r.Kind == receive.Mention && (t.r.Direct || !problem):
		err = t.say(ctx, t.r.Channel, t.root(), m)
	case t.r.Kind == receive.Submit:
		if t.put(viewNotice("profbot", m)) {
			return
		}
		err = t.whisper(ctx, m)
	case t.r.Kind == receive.Command && t.put(ephemeral(m)):
		return
	case t.r.Response != "":
		if err = t.respond(ctx, m); err != nil {
			t.log.WarnContext(ctx, "answer not taken, trying another way", "user", t.r.User, "error", err)
			err = t.whisper(ctx, m)
		}
	case t.r.Channel == "" && t.r.Trigger != "":
		err = t.open(ctx, notice("profbot", m))
	default:
		err = t.whisper(ctx, m)
	}
	if err != nil {
		t.log.ErrorContext(ctx, "a person was not answered", "user", t.r.User, "channel", t.r.Channel, "answer", m.Text, "error", err)
	}
}

// root is the ts of the thread that a mention or a click belongs to; "" for a
// command, which does not say.
func (t *talk) root() string { return cmp.Or(t.r.Thread, t.r.Message) }

// respond posts to the request's response address.
func (t *talk) respond(ctx context.Context, m Message) error {
	if !t.answerable(t.r.Response) {
		return errors.New("slack response: the address is not Slack's")
	}
	body, err := json.Marshal(ephemeral(m))
	if err != nil {
		return fmt.Errorf("slack response: %w", err)
	}
	return t.insist(ctx, func(ctx context.Context) error {
		return t.call(ctx, "response", t.r.Channel, callTimeout, func(ctx context.Context) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.r.Response, bytes.NewReader(body))
			if err != nil {
				return errors.New("the address is none") // it is a secret
			}
			req.Header.Set("Content-Type", "application/json; charset=utf-8")
			resp, err := t.http.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			data, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
			var says struct {
				OK    *bool  `json:"ok"`
				Error string `json:"error"`
			}
			switch {
			case resp.StatusCode == http.StatusTooManyRequests:
				return &slack.RateLimitedError{RetryAfter: defaultRetryAfter}
			case resp.StatusCode != http.StatusOK:
				return fmt.Errorf("status %d: %s", resp.StatusCode, clean(string(data), 100))
			case json.Unmarshal(data, &says) == nil && says.OK != nil && !*says.OK:
				return slack.SlackErrorResponse{Err: clean(says.Error, 100)}
			}
			return err
		})
	})
}

// whisper shows a message to the person alone, in the channel or its thread.
func (t *talk) whisper(ctx context.Context, m Message) error {
	channel := t.r.Channel
	if v := t.r.View; channel == "" && v != nil {
		channel = readPlace(v.Private).Channel
	}
	if channel == "" {
		return errors.New("there is no place to answer in")
	}
	return t.insist(ctx, func(ctx context.Context) error {
		return t.call(ctx, "chat.postEphemeral", channel, callTimeout, func(ctx context.Context) error {
			_, err := t.api.PostEphemeralContext(ctx, channel, t.r.User, plainOptions(m, t.r.Thread)...)
			return err
		})
	})
}

// say posts a message for everybody in a channel or a thread.
func (b *Bot) say(ctx context.Context, channel, thread string, m Message, more ...slack.MsgOption) error {
	try := func(m Message) error {
		return b.insist(ctx, func(ctx context.Context) error {
			return b.call(ctx, "chat.postMessage", channel, callTimeout, func(ctx context.Context) error {
				_, _, err := b.api.PostMessageContext(ctx, channel, append(plainOptions(m, thread), more...)...)
				return err
			})
		})
	}
	err := try(m)
	switch code(err) {
	case "invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long", "too_many_blocks":
		b.log.WarnContext(ctx, "sending a plain message instead", "channel", channel, "error", err)
		err = try(Message{Text: m.Text, Blocks: plainest(m)})
	}
	return err
}

func plainOptions(m Message, thread string) []slack.MsgOption {
	out := []slack.MsgOption{
		slack.MsgOptionText(m.Text, true), slack.MsgOptionBlocks(m.Blocks...), slack.MsgOptionDisableMarkdown(),
		slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl(),
	}
	if thread != "" {
		out = append(out, slack.MsgOptionTS(thread))
	}
	return out
}

// open shows a modal. It has to happen within three seconds of the deed.
func (t *talk) open(ctx context.Context, v slack.ModalViewRequest) error {
	return t.call(ctx, "views.open", "", callTimeout, func(ctx context.Context) error {
		_, err := t.api.OpenViewContext(ctx, t.r.Trigger, v)
		return err
	})
}

// insist tries again for as long as Slack says that it has too much to do and
// ctx has the time.
func (b *Bot) insist(ctx context.Context, try func(context.Context) error) error {
	for {
		err := try(ctx)
		e, ok := errors.AsType[*Error](err)
		if !ok || e.Code != "ratelimited" {
			return err
		}
		if end, ok := ctx.Deadline(); ok && time.Until(end) < e.after {
			return err
		}
		timer := time.NewTimer(e.after)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(err, context.Cause(ctx))
		}
	}
}

// say is a message of one sentence.
func say(text string) Message { return speak(words(text)) }

// speak is a message of one paragraph.
func speak(spans ...span) Message {
	return Message{Text: clean(spoken(spans), 1000), Blocks: only(rich(line(spans...)))}
}

// only is the list of one block, or of none.
func only(b slack.Block) []slack.Block {
	if b == nil {
		return nil
	}
	return []slack.Block{b}
}

// spoken is a paragraph in plain text.
func spoken(spans []span) string {
	var b strings.Builder
	for _, s := range kept(spans) {
		switch s := s.(type) {
		case *slack.RichTextSectionTextElement:
			b.WriteString(s.Text)
		case *slack.RichTextSectionLinkElement:
			b.WriteString(cmp.Or(s.Text, s.URL))
		case *slack.RichTextSectionDateElement:
			b.WriteString(*s.Fallback)
		case *slack.RichTextSectionUserElement:
			b.WriteString("@" + s.UserID)
		case *slack.RichTextSectionUserGroupElement:
			b.WriteString("@" + s.UsergroupID)
		case *slack.RichTextSectionChannelElement:
			b.WriteString("#" + s.ChannelID)
		}
	}
	return b.String()
}

// problem is an error with a form of its own.
type problem struct{ spans []span }

func (p *problem) Error() string { return spoken(p.spans) }

// refuse is a problem of one paragraph.
func refuse(spans ...span) error { return &problem{spans} }

// trouble tells a person why something was not done.
func trouble(err error) Message {
	if p, ok := errors.AsType[*problem](err); ok {
		return speak(append([]span{words("⚠️ ")}, p.spans...)...)
	}
	return say("⚠️ " + asSentence(err.Error()))
}

// asSentence is sentence for words that may begin with a name, or be a question.
func asSentence(s string) string {
	s = strings.TrimRight(clean(s, maxSentence-1), ".")
	if first, _, _ := strings.Cut(s, " "); first != "profbot" && !strings.ContainsAny(first, "-_./:0123456789") {
		s = strings.TrimSuffix(sentence(s), ".")
	}
	if s == "" || strings.HasSuffix(s, "?") {
		return s
	}
	return s + "."
}
