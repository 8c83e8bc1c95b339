package command

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// shard is one of several parts of a list of models, for machines that each measure one.
// The zero value is the whole list.
type shard struct {
	part, of int
}

// String writes the part as the flag has it.
func (s *shard) String() string {
	if s.of == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", s.part, s.of)
}

// Set reads K/N, parts being counted from 1.
func (s *shard) Set(text string) error {
	k, n, _ := strings.Cut(text, "/")
	part, err := strconv.Atoi(k)
	of, err2 := strconv.Atoi(n)
	if err != nil || err2 != nil || part < 1 || part > of {
		return fmt.Errorf("want K/N with K from 1 to N, such as 3/64")
	}
	s.part, s.of = part, of
	return nil
}

// Type names the value in the help.
func (s *shard) Type() string { return "K/N" }

// take returns every N-th path of the sorted list, from the K-th on: it depends on the set
// of paths alone, and the sizes of neighbours, which are often alike, are spread.
func (s *shard) take(paths []string) []string {
	if s.of == 0 {
		return paths
	}
	sorted := slices.Sorted(slices.Values(paths))
	var out []string
	for i := s.part - 1; i < len(sorted); i += s.of {
		out = append(out, sorted[i])
	}
	return out
}
