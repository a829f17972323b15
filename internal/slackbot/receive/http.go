package receive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"unicode/utf8"

	"github.com/slack-go/slack"
)

// DefaultMaxBody is far more than Slack sends: a payload carries the message
// that was clicked on, of which all blocks have some ten thousand characters.
const DefaultMaxBody = 1 << 20

// HTTPOptions configure [NewHTTP]. SigningSecrets, Handler and Seen are required.
type HTTPOptions struct {
	// SigningSecrets are those of the app; two while one replaces the other.
	SigningSecrets []string
	Handler        Handler
	Seen           Seen
	Logger         *slog.Logger // nil discards
	MaxBody        int64        // bytes of a request; 0 means DefaultMaxBody
}

// receiver is the way in by HTTP.
type receiver struct {
	deliverer
	secrets []string
	max     int64
}

// NewHTTP serves the one address that events, interactions and slash commands
// of the app are sent to.
//
// It answers 200, and otherwise 405, 413 for too much, 401 for what Slack has
// not signed within five minutes and for what came before, 400 for what is
// signed but cannot be read, all with the wish not to be sent again; and 503
// when it could not look up what it has seen, after which Slack sends events
// again.
func NewHTTP(opt HTTPOptions) (http.Handler, error) {
	d, err := newDeliverer(opt.Handler, opt.Seen, opt.Logger)
	if err != nil {
		return nil, err
	}
	if len(opt.SigningSecrets) == 0 {
		return nil, errors.New("receive from slack: a signing secret is required")
	}
	for _, s := range opt.SigningSecrets {
		if s == "" {
			return nil, errors.New("receive from slack: a signing secret is empty")
		}
	}
	if opt.MaxBody == 0 {
		opt.MaxBody = DefaultMaxBody
	}
	return &receiver{d, opt.SigningSecrets, opt.MaxBody}, nil
}

// refusal is an answer that Slack, or who pretends to be it, gets instead.
type refusal struct {
	status int
	why    string // for the log only
}

func (r *refusal) Error() string { return r.why }

func (h *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	err := h.serve(w, r)
	if err == nil {
		return
	}
	status := http.StatusServiceUnavailable
	if refused, ok := errors.AsType[*refusal](err); ok {
		status = refused.status
		w.Header().Set("X-Slack-No-Retry", "1")
		h.log.InfoContext(r.Context(), "slack request refused", "status", status, "why", refused.why)
	} else {
		h.log.ErrorContext(r.Context(), "slack request not handled", "error", err)
	}
	w.WriteHeader(status)
}

func (h *receiver) serve(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return &refusal{http.StatusMethodNotAllowed, "not a POST"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, h.max))
	if err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			return &refusal{http.StatusRequestEntityTooLarge, "too large"}
		}
		return &refusal{http.StatusBadRequest, "the body could not be read"}
	}
	if sslCheck(r.Header, body) {
		return nil // 200, whoever asks, and nothing is done
	}
	signature, err := h.verify(r.Header, body)
	if err != nil {
		return &refusal{http.StatusUnauthorized, err.Error()}
	}
	payload, err := decode(r.Header, body)
	if err != nil {
		return &refusal{http.StatusBadRequest, err.Error()}
	}
	// Slack signs anew what it sends again: the same signature is a replay.
	ctx, cancel := context.WithTimeoutCause(r.Context(), ackTime, errLate)
	defer cancel()
	digest := sha256.Sum256([]byte(signature))
	switch fresh, err := h.seen.Once(ctx, "slack signature "+hex.EncodeToString(digest[:])); {
	case err != nil:
		return fmt.Errorf("look up a signature: %w", err)
	case !fresh:
		return &refusal{http.StatusUnauthorized, "replayed"}
	}
	if payload.challenge != "" {
		h.write(ctx, w, map[string]string{"challenge": payload.challenge})
		return nil
	}
	retry, _ := strconv.Atoi(r.Header.Get("X-Slack-Retry-Num")) // absent is 0
	reply, err := h.deliver(ctx, payload, retry)
	if err != nil {
		return err
	}
	if reply.Body != nil {
		h.write(ctx, w, reply.Body)
	}
	return nil
}

// write answers 200 with JSON; what cannot be that is an empty answer.
func (h *receiver) write(ctx context.Context, w http.ResponseWriter, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		h.log.ErrorContext(ctx, "answer to slack not encoded", "error", err)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Write(data)
}

const formType = "application/x-www-form-urlencoded"

// sslCheck reports whether Slack only asks for our certificate, which it does
// without a signature.
func sslCheck(header http.Header, body []byte) bool {
	if header.Get("Content-Type") != formType || len(body) > 1024 {
		return false
	}
	form, err := url.ParseQuery(string(body))
	return err == nil && form.Get("ssl_check") == "1"
}

// signed is a signature as Slack writes it. There is no other spelling: it is
// what replays are known by.
var signed = regexp.MustCompile(`^v0=[0-9a-f]{64}$`)

// verify checks the signature over the raw body and returns it.
func (h *receiver) verify(header http.Header, body []byte) (string, error) {
	signature, stamp := header["X-Slack-Signature"], header["X-Slack-Request-Timestamp"]
	switch {
	case len(signature) != 1 || len(stamp) != 1:
		return "", fmt.Errorf("%d signatures and %d timestamps", len(signature), len(stamp))
	case !signed.MatchString(signature[0]):
		return "", errors.New("not a signature")
	}
	var err error
	for _, secret := range h.secrets {
		var v slack.SecretsVerifier
		if v, err = slack.NewSecretsVerifier(header, secret); err == nil {
			_, _ = v.Write(body) // into a hash
			err = v.Ensure()
		}
		if err == nil {
			return signature[0], nil
		}
	}
	return "", err
}

// decode reads a body that is known to be Slack's. Only the body: nothing else
// is signed.
func decode(header http.Header, body []byte) (decoded, error) {
	if !utf8.Valid(body) {
		return decoded{}, errors.New("the body is not UTF-8")
	}
	if header.Get("Content-Type") == formType {
		form, _ := url.ParseQuery(string(body)) // what it can read is returned, and is all that matters
		if len(form["payload"]) != 1 {
			return decodeCommand(form), nil
		}
		body = []byte(form.Get("payload"))
	}
	if !json.Valid(body) {
		return decoded{}, errors.New("the body is not JSON")
	}
	return decodeJSON(body), nil
}
