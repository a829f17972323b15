package sfredis

import (
	"strconv"
	"strings"
	"sync"
)

// fence is the key that a token of key is kept in, in the same hash slot: see
// the Redis Cluster specification, "Hash tags".
func fence(key string) string {
	switch {
	case hashTag(key) != "":
		return key + ":fence"
	case key != "" && !strings.Contains(key, "}"):
		return "{" + key + "}:fence"
	default: // as a tag it would end too early: another of the same slot
		return "{" + tagOf()[slot(key)] + "}" + key + ":fence"
	}
}

// hashTag is the part of key that says its slot, or "" when all of it does:
// what is between the first { and the } after it, unless that is nothing.
func hashTag(key string) string {
	_, after, _ := strings.Cut(key, "{")
	tag, _, ok := strings.Cut(after, "}")
	if !ok {
		return ""
	}
	return tag
}

const slots = 16384

// slot is the slot of key, all of it: CRC-16/XMODEM.
func slot(key string) int {
	var crc uint16
	for _, b := range []byte(key) {
		crc ^= uint16(b) << 8
		for range 8 {
			carry := crc&0x8000 != 0
			crc <<= 1
			if carry {
				crc ^= 0x1021
			}
		}
	}
	return int(crc) % slots
}

// tagOf has a hash tag for each slot. It takes some milliseconds to make, and
// hardly any key needs it.
var tagOf = sync.OnceValue(func() *[slots]string {
	var tags [slots]string
	for i, found := int64(0), 0; found < slots; i++ {
		tag := strconv.FormatInt(i, 36)
		if s := slot(tag); tags[s] == "" {
			tags[s] = tag
			found++
		}
	}
	return &tags
})
