package golden

import (
	"regexp"
	"strconv"
)

// full matches a number with so many decimals that the last ones depend on the
// order of a sum, and so on the machine.
var full = regexp.MustCompile(`\d+\.\d{9,}(e[-+]?\d+)?`)

// Round writes the numbers of a text that have all their digits with ten
// significant ones, so that a golden file of full precision holds on every
// machine.
func Round(text string) string {
	return full.ReplaceAllStringFunc(text, func(s string) string {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return s
		}
		return strconv.FormatFloat(v, 'g', 10, 64)
	})
}
