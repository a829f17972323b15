package incident

import "strings"

// RateOf finds the requests a second of an endpoint among rates by the names
// that traces give them. Names match when they are the same but for capitals
// and the characters that Datadog does not keep in tags.
func RateOf(rates map[string]float64, endpoint string) (float64, bool) {
	if r, ok := rates[endpoint]; ok {
		return r, true
	}
	want := tagged(endpoint)
	for name, r := range rates {
		if tagged(name) == want {
			return r, true
		}
	}
	return 0, false
}

// tagged is a name as Datadog writes it in a tag.
func tagged(name string) string {
	return strings.Trim(strings.Map(func(r rune) rune {
		if strings.ContainsRune(" {}:*", r) {
			return '_'
		}
		return r
	}, strings.ToLower(name)), "_")
}
