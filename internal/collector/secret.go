package collector

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"html"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const (
	excerptBytes = 2 << 10 // bytes looked at of an answer for its words
	redacted     = "[...]" // stands where a target echoed a secret
)

// secrets are the texts that must not be quoted, the longest first.
type secrets []string

// secretsOf lists what must not be quoted of an Authorization header: the
// whole, the credentials without their scheme, what HTTP Basic encodes in
// them, and all of that as a target may write it.
func secretsOf(authorization string) secrets {
	if authorization == "" {
		return nil
	}
	plain := []string{authorization}
	if scheme, credentials, ok := strings.Cut(authorization, " "); ok {
		credentials = strings.TrimSpace(credentials)
		plain = append(plain, credentials)
		if strings.EqualFold(scheme, "basic") {
			if b, err := base64.StdEncoding.DecodeString(credentials); err == nil {
				_, password, _ := strings.Cut(string(b), ":")
				plain = append(plain, string(b), password)
			}
		}
	}
	var s secrets
	for _, p := range plain {
		if p == "" {
			continue
		}
		b := []byte(p)
		quoted := strconv.Quote(p)
		s = append(s, p, html.EscapeString(p), quoted[1:len(quoted)-1], hex.EncodeToString(b),
			base64.RawStdEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b)) // padding stays and says nothing
		for _, escaped := range []string{url.QueryEscape(p), url.PathEscape(p)} {
			s = append(s, escaped, lowerEscapes(escaped))
		}
	}
	slices.SortFunc(s, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), cmp.Compare(a, b)) })
	return slices.Compact(s)
}

// lowerEscapes writes %2F as %2f.
func lowerEscapes(s string) string {
	b := []byte(s)
	for i := 0; i+2 < len(b); i++ {
		if b[i] == '%' {
			copy(b[i:], strings.ToLower(s[i:i+3]))
		}
	}
	return string(b)
}

func (s secrets) redact(text string) string {
	for _, secret := range s {
		text = strings.ReplaceAll(text, secret, redacted)
	}
	return text
}

// quote makes one printable line without secrets.
func (s secrets) quote(text string) string {
	// Twice, since what is not printed may have parted a secret.
	return s.redact(clean(s.redact(text)))
}

// excerpt quotes the beginning of an answer, of which b may be a part.
func (s secrets) excerpt(b []byte) string {
	text := string(b)
	for _, secret := range s { // one that goes on behind b would not be recognised
		for n := min(len(secret)-1, len(text)); n > 0; n-- {
			if strings.HasSuffix(text, secret[:n]) && len(b) >= excerptBytes {
				text = text[:len(text)-n]
				break
			}
		}
	}
	if text = s.quote(text); text == "" {
		return "(no text)"
	}
	return text
}
