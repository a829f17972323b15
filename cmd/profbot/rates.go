package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// rate is one --rate: an endpoint's requests, all pods together. The endpoint
// stands before the last equals sign: 'GET /live/list=1200/s'. Without a unit
// it is a second; m and h are minute and hour.
type rate struct {
	endpoint  string
	perSecond float64
}

// UnmarshalText reads a rate as it is written on the command line.
func (r *rate) UnmarshalText(text []byte) error {
	endpoint, value, ok := cutLast(string(text), "=")
	endpoint, value = strings.TrimSpace(endpoint), strings.TrimSpace(value)
	if !ok || endpoint == "" {
		return fmt.Errorf("%q: want an endpoint and its requests, such as 'GET /live/list=1200/s'", text)
	}
	number, unit, _ := strings.Cut(value, "/")
	per := time.Second
	switch unit {
	case "", "s":
	case "m", "min":
		per = time.Minute
	case "h":
		per = time.Hour
	default:
		return fmt.Errorf("%q: requests are counted by s, m or h, not by %q", text, unit)
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(f >= 1e-6 && f <= 1e12) {
		return fmt.Errorf("%q: %q is no number of requests", text, number)
	}
	*r = rate{endpoint, f / per.Seconds()}
	return nil
}

// keys is one --keys: how many keys an endpoint's requests ask for; a number
// alone is for every endpoint.
type keys struct {
	endpoint string // "*" is every endpoint
	n        int
}

// UnmarshalText reads it as it is written on the command line.
func (k *keys) UnmarshalText(text []byte) error {
	endpoint, value, ok := cutLast(string(text), "=")
	if !ok {
		endpoint, value = "*", endpoint
	}
	endpoint = strings.TrimSpace(endpoint)
	n, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil || n < 1 || n > 1e9 || endpoint == "" {
		return fmt.Errorf("%q: want a number of keys from 1, or 'GET /live/list=50'", text)
	}
	*k = keys{endpoint, n}
	return nil
}

func rateMap(list []rate) (map[string]float64, error) {
	m := map[string]float64{}
	for _, r := range list {
		if _, twice := m[r.endpoint]; twice {
			return nil, errors.New("the rate of " + r.endpoint + " is given twice")
		}
		m[r.endpoint] = r.perSecond
	}
	return m, nil
}

func keyMap(list []keys) map[string]int {
	m := map[string]int{}
	for _, k := range list {
		m[k.endpoint] = k.n
	}
	return m
}
