package collector

import (
	"encoding/base64"
	"strings"
	"testing"
)

// TestSecrets: however a target repeats credentials, they are not quoted.
func TestSecrets(t *testing.T) {
	user := base64.StdEncoding.EncodeToString([]byte("ops:p/55 w0rd+of\"<ops>"))
	s := secretsOf("Basic " + user)
	for name, echo := range map[string]string{
		"the header":          "Basic " + user,
		"the credentials":     user,
		"without padding":     strings.TrimRight(user, "="),
		"user and password":   "ops:p/55 w0rd+of\"<ops>",
		"the password":        "p/55 w0rd+of\"<ops>",
		"in a query":          "p%2F55+w0rd%2Bof%22%3Cops%3E",
		"in a path":           "p%2F55%20w0rd+of%22%3Cops%3E",
		"in a query, small":   "p%2f55+w0rd%2bof%22%3cops%3e",
		"in HTML":             "p/55 w0rd+of&#34;&lt;ops&gt;",
		"in JSON":             `p/55 w0rd+of\"<ops>`,
		"as hexadecimal":      "702f353520773072642b6f66223c6f70733e",
		"as base64 for URLs":  base64.URLEncoding.EncodeToString([]byte("p/55 w0rd+of\"<ops>")),
		"broken by a control": "p/55 w0\x00rd+of\"<ops>",
		"broken by a line":    "p/55\n\tw0rd+of\"<ops>",
		"in a long text":      strings.Repeat("é", 190) + "p/55 w0rd+of\"<ops>",
	} {
		got := s.excerpt([]byte("no <" + echo + "> here"))
		for _, secret := range s {
			if strings.Contains(got, secret) {
				t.Errorf("%s: %q holds %q", name, got, secret)
			}
		}
		if !strings.Contains(got, redacted) && !strings.HasSuffix(got, "…") || strings.Contains(got, "w0rd") {
			t.Errorf("%s: %q", name, got)
		}
	}
	for authorization, echo := range map[string]string{
		"Bearer abc.def-ghi": "abc.def-ghi", "t0ken-alone": "t0ken-alone", "Basic not/base64!": "not/base64!", "Basic b3BzOg==": "b3BzOg",
	} {
		if got := secretsOf(authorization).quote("no " + echo + " here"); strings.Contains(got, echo) || !strings.HasPrefix(got, "no [...]") || !strings.HasSuffix(got, " here") {
			t.Errorf("%s: %q", authorization, got)
		}
	}
	if got := secrets(nil).excerpt(nil); got != "(no text)" {
		t.Errorf("nothing is quoted as %q", got)
	}
}

// FuzzQuote: no text that a target may send, and that holds the credentials,
// is quoted with them, or as more than one short line.
func FuzzQuote(f *testing.F) {
	f.Add("no ", " here")
	f.Add("s3cr3t", "s3cr3t-t0ken")
	f.Add(strings.Repeat(" ", excerptBytes-10), "")
	f.Add(strings.Repeat("x", wordLimit-8), "\x1b[31m")
	const token = "s3cr3t-t0ken"
	s := secretsOf("Bearer " + token)
	f.Fuzz(func(t *testing.T, before, after string) {
		b := []byte(before + token + after)
		b = b[:min(len(b), excerptBytes)]
		got := s.excerpt(b)
		if strings.Contains(got, token) || strings.ContainsAny(got, "\n\r\x1b\x00") || len([]rune(got)) > 2*wordLimit {
			t.Errorf("%q", got)
		}
	})
}
