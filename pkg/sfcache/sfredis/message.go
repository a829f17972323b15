package sfredis

import (
	"strconv"
	"strings"
)

// message is what goes through the channel: the origin and the keys, each with
// its length before it ("3:abc,", a netstring), since keys may be any bytes.
func message(origin string, keys ...string) string {
	var b strings.Builder
	add := func(s string) {
		b.WriteString(strconv.Itoa(len(s)))
		b.WriteByte(':')
		b.WriteString(s)
		b.WriteByte(',')
	}
	add(origin)
	for _, k := range keys {
		add(k)
	}
	return b.String()
}

// openMessage is the opposite of message.
func openMessage(m string) (origin string, keys []string, ok bool) {
	var parts []string
	for m != "" {
		digits, rest, _ := strings.Cut(m, ":")
		n, err := strconv.ParseUint(digits, 10, 31)
		if err != nil || uint64(len(rest)) <= n || rest[n] != ',' {
			return "", nil, false
		}
		parts = append(parts, rest[:n])
		m = rest[n+1:]
	}
	if len(parts) < 2 {
		return "", nil, false
	}
	return parts[0], parts[1:], true
}
