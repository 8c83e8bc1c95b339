// Package words writes numbers of things, and lists of them, in sentences.
package words

import (
	"fmt"
	"strings"
)

// irregular are the plurals that no rule makes.
var irregular = map[string]string{"axis": "axes", "index": "indices", "matrix": "matrices", "was": "were", "is": "are", "has": "have"}

type number interface {
	~int | ~int64 | ~uint32 | ~uint64
}

// Count writes a number of things: 1 input, 2 inputs, 3 classes, 4 axes. Of several words, as of
// "more measure", the last is put into the plural.
func Count[N number](n N, what string) string {
	return fmt.Sprintf("%d %s", n, Of(n, what))
}

// Some names the first few of a list and counts the others: "a, b and 3 more".
func Some(names []string, most int) string {
	s := strings.Join(names[:min(len(names), most)], ", ")
	if more := len(names) - most; more > 0 {
		s += fmt.Sprintf(" and %d more", more)
	}
	return s
}

// Of is the noun, or the verb (is, was, has), that goes with a number of things.
func Of[N number](n N, what string) string {
	if n == 1 {
		return what
	}
	at := strings.LastIndex(what, " ") + 1
	last := what[at:]
	switch many, known := irregular[last]; {
	case known:
		last = many
	case strings.HasSuffix(last, "s"), strings.HasSuffix(last, "x"):
		last += "es"
	case strings.HasSuffix(last, "y"):
		last = strings.TrimSuffix(last, "y") + "ies"
	default:
		last += "s"
	}
	return what[:at] + last
}
