package objects

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

const (
	// maxName is how long a name may be (RFC 1123 subdomain, 253), less what Tinkerbell
	// puts before that of a Workflow to name its jobs.
	maxName  = 253 - len("customboot-preparing-")
	maxLabel = 63 // of a label's value, and of a namespace
	hashed   = 10 // hexadecimal digits of the hash that stands for what was left out
)

// Name is a name that Kubernetes takes for an object, the same whenever it is made of
// the same parts. Where something had to be changed or left out it ends in a hash of
// the whole, so that two that differ do not meet.
func Name(parts ...string) string { return fitting(strings.Join(parts, "-"), maxName, "-.") }

// Label is a text as the value of a label, made as [Name] makes names.
func Label(text string) string { return fitting(text, maxLabel, "-") }

// fitting is text in lower-case letters, digits and what else may stand between them.
func fitting(text string, most int, between string) string {
	fit := strings.Map(func(c rune) rune {
		if isAlphanumeric(c) || strings.ContainsRune(between, c) {
			return c
		}
		return '-'
	}, strings.ToLower(text))
	fit = strings.Trim(fit, "-.")
	if strings.Contains(fit, "..") || strings.Contains(fit, ".-") || strings.Contains(fit, "-.") {
		fit = strings.ReplaceAll(fit, ".", "-") // each part of a subdomain begins and ends with a letter or digit
	}
	if fit == text && text != "" && len(text) <= most {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	hash := hex.EncodeToString(sum[:])[:hashed]
	if fit = strings.TrimRight(fit[:min(len(fit), most-hashed-1)], "-."); fit == "" {
		return hash
	}
	return fit + "-" + hash
}

func isAlphanumeric(c rune) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

// badLabel is why text is no RFC 1123 label, which a namespace has to be; empty where
// it is one.
func badLabel(text string) string {
	switch {
	case text == "":
		return "it is empty"
	case len(text) > maxLabel:
		return "it is longer than 63 characters"
	case Label(text) != text:
		return "want lower-case letters, digits and dashes, as in tink-system"
	}
	return ""
}
