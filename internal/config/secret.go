package config

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a text that must not be seen: every way of printing, logging or
// encoding it gives [redacted]. Only Reveal gives the text.
type Secret string

const redacted = "[redacted]"

// Reveal returns the text, for the one place that sends it.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) hidden() string {
	if s == "" {
		return ""
	}
	return redacted
}

// String returns [redacted], or nothing for an empty secret.
func (s Secret) String() string { return s.hidden() }

// GoString is String.
func (s Secret) GoString() string { return s.hidden() }

// Format writes String for every verb.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.hidden()) }

// MarshalText returns String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.hidden()), nil }

// LogValue returns String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.hidden()) }
