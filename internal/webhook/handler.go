// Package webhook turns what Datadog sends into alerts: [Handler] checks who
// sends it and how, parse.go understands the shapes it comes in, and [Example]
// sends the same for people who test an installation.
package webhook

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/profbot/profbot/internal/incident"
)

// MaxBody is the limit on a request's body. Captured webhooks are 0.3 to
// 4.2 kB; Datadog states no maximum.
const MaxBody = 1 << 20

// Accepter stores an alert together with the work it leads to. An error means
// that it is not stored, and that sending it again may help.
type Accepter interface {
	Accept(ctx context.Context, a incident.Alert) (incident.Receipt, error)
}

// Credential is a user with a password for HTTP Basic.
type Credential struct{ User, Password string }

// Options configure a [Handler]. Accepter and at least one secret are required.
type Options struct {
	Accepter Accepter
	// Tokens are the bearer tokens accepted; several for rotation.
	Tokens []string
	// Basic are the users accepted by HTTP Basic, for webhooks that carry user
	// and password in their URL.
	Basic  []Credential
	Logger *slog.Logger // nil discards
	Now    func() time.Time
}

// Handler serves POST /webhooks/datadog. It is safe for concurrent use.
type Handler struct {
	opt Options
	// secrets are digests of whole Authorization credentials, so that comparing
	// takes the same time whatever their lengths.
	bearer, basic [][sha256.Size]byte
}

// NewHandler returns a Handler.
func NewHandler(opt Options) (*Handler, error) {
	if opt.Accepter == nil {
		return nil, errors.New("new webhook handler: an Accepter is required")
	}
	if len(opt.Tokens)+len(opt.Basic) == 0 {
		return nil, errors.New("new webhook handler: no token and no user: anybody could start profiles")
	}
	if opt.Logger == nil {
		opt.Logger = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	h := &Handler{opt: opt}
	for _, t := range opt.Tokens {
		if t == "" {
			return nil, errors.New("new webhook handler: an empty token would let everybody in")
		}
		h.bearer = append(h.bearer, sha256.Sum256([]byte(t)))
	}
	for _, c := range opt.Basic {
		if c.User == "" || c.Password == "" {
			return nil, errors.New("new webhook handler: user and password must not be empty")
		}
		h.basic = append(h.basic, basicDigest(c.User, c.Password))
	}
	return h, nil
}

func basicDigest(user, password string) [sha256.Size]byte {
	// The length in front keeps "ab"+"c" and "a"+"bc" apart.
	return sha256.Sum256(fmt.Appendf(nil, "%d:%s:%s", len(user), user, password))
}

// known compares with every secret, without an early exit.
func known(digest [sha256.Size]byte, secrets [][sha256.Size]byte) bool {
	ok := 0
	for i := range secrets {
		ok |= subtle.ConstantTimeCompare(digest[:], secrets[i][:])
	}
	return ok == 1
}

func (h *Handler) authorized(r *http.Request) bool {
	if user, password, ok := r.BasicAuth(); ok {
		return known(basicDigest(user, password), h.basic)
	}
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	return ok && strings.EqualFold(scheme, "Bearer") && known(sha256.Sum256([]byte(strings.TrimSpace(token))), h.bearer)
}

// ServeHTTP answers 200 or 202 with the receipt, or a one-line JSON error:
// 401 before anything is read, 405, 415, 413, 400, and 503 when storing
// failed, which is the only answer that Datadog sends again.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, "send alerts with POST")
		return
	}
	if !h.authorized(r) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="profbot"`)
		refuse(w, http.StatusUnauthorized, "a valid bearer token or user and password is required")
		return
	}
	form, ok := isForm(r.Header.Get("Content-Type"))
	if !ok {
		refuse(w, http.StatusUnsupportedMediaType, "send application/json or application/x-www-form-urlencoded in UTF-8")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	if err != nil {
		if _, large := errors.AsType[*http.MaxBytesError](err); large {
			refuse(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is larger than %d bytes", MaxBody))
			return
		}
		refuse(w, http.StatusBadRequest, "the body could not be read")
		return
	}
	alert, err := parse(body, form, h.opt.Now())
	if err != nil {
		h.opt.Logger.WarnContext(r.Context(), "webhook refused", "error", err, "bytes", len(body))
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	// Datadog waits 15 s; an answer after that would be for nobody.
	ctx, cancel := context.WithTimeoutCause(r.Context(), 12*time.Second, errors.New("alert not stored within 12s"))
	defer cancel()
	receipt, err := h.opt.Accepter.Accept(ctx, alert)
	if err != nil {
		if r.Context().Err() == nil {
			h.opt.Logger.ErrorContext(r.Context(), "alert not stored", "alert", alert.ID, "error", err)
		}
		w.Header().Set("Retry-After", "5")
		refuse(w, http.StatusServiceUnavailable, "the alert could not be stored, send it again")
		return
	}
	status := http.StatusOK
	if receipt.Action == incident.ActionCapture && !receipt.Repeated {
		status = http.StatusAccepted
	}
	answer(w, status, receipt)
}

// isForm reads the content type. None at all is taken for JSON, which is what
// Datadog's payloads are unless told otherwise.
func isForm(contentType string) (form, ok bool) {
	if contentType == "" {
		return false, true
	}
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false, false
	}
	if c := params["charset"]; c != "" && !strings.EqualFold(c, "utf-8") && !strings.EqualFold(c, "us-ascii") {
		return false, false
	}
	switch kind {
	case "application/json":
		return false, true
	case "application/x-www-form-urlencoded":
		return true, true
	}
	return false, false
}

func refuse(w http.ResponseWriter, status int, reason string) {
	answer(w, status, map[string]string{"error": reason})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a sender that went away is its business
}
