package config

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

var (
	durationType = reflect.TypeFor[time.Duration]()
	secretType   = reflect.TypeFor[Secret]()
)

// setText puts a single value into v. It returns what is wrong with the text,
// which it never repeats for a secret.
func setText(v reflect.Value, text string) (problem string) {
	switch {
	case v.Type() == durationType:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Sprintf("%q is no duration", text)
		}
		v.SetInt(int64(d))
	case v.Kind() == reflect.String:
		v.SetString(text)
	case v.Kind() == reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Sprintf("%q is neither true nor false", text)
		}
		v.SetBool(b)
	case v.Kind() == reflect.Int, v.Kind() == reflect.Int64:
		n, err := size(text)
		if err != nil {
			return fmt.Sprintf("%q is no whole number", text)
		}
		v.SetInt(n)
	case v.Kind() == reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || f != f {
			return fmt.Sprintf("%q is no number", text)
		}
		v.SetFloat(f)
	default:
		return "this key cannot be set by one value"
	}
	return ""
}

// size reads a whole number, with KiB, MiB or GiB behind it for bytes.
func size(text string) (int64, error) {
	shift := 0
	for i, unit := range []string{"KiB", "MiB", "GiB"} {
		if s, ok := strings.CutSuffix(text, unit); ok {
			text, shift = strings.TrimSpace(s), 10*(i+1)
		}
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 64)
	if err == nil && n<<shift>>shift != n {
		err = strconv.ErrRange
	}
	return n << shift, err
}

// example is a value that a key of the type would take.
func example(key string, t reflect.Type) string {
	switch {
	case t == durationType:
		return "a number with a unit, such as 30s, 5m or 720h"
	case t == secretType, t.Kind() == reflect.String:
		return "a text"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case strings.HasSuffix(key, "bytes"):
		return "a number of bytes, such as 64MiB"
	case t.Kind() == reflect.Int64, t.Kind() == reflect.Int:
		return "a whole number, such as 100"
	case t.Kind() == reflect.Float64:
		return "a number such as 0.25"
	}
	return "a value"
}
