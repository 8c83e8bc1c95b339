package dataset

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// WithClasses returns the set with label k standing for names[k]: labels are
// found by their name, numbers by their value, so that 1 and 1.0 are one class.
// Whole numbers as they stand count from 0 where no name is a number. Values are
// shared with s. It panics for regression. Errors: a label without a name in the
// list.
func (s *Set) WithClasses(names []string) (*Set, error) {
	if s.width > 0 {
		panic("dataset: a regression set has no classes")
	}
	out := *s
	out.names, out.classes, out.given = slices.Clone(names), len(names), true
	place := places(names)
	counts := s.names == nil && !slices.ContainsFunc(names, func(n string) bool {
		_, ok := parseNumber(n)
		return ok
	})
	out.labels = make([]int, len(s.labels))
	for i, y := range s.labels {
		text := strconv.Itoa(y)
		if s.names != nil {
			text = canonical(s.names[y])
		}
		k, ok := place[text]
		if counts {
			k, ok = y, y < len(names)
		}
		if !ok {
			return nil, &DataError{
				File: s.file, Where: record(i), Problem: fmt.Sprintf("label %q is none of the classes %s", s.label(y), list(names)),
				Remedy: "leave the example out, or name every class with classes=A;B;C in the data spec, in the order of the model's scores",
			}
		}
		out.labels[i] = k
	}
	return &out, nil
}

// like numbers the labels as those of a training set.
func (s *Set) like(train *Set) (*Set, error) {
	switch {
	case train.Task() != Classification:
		return s, nil
	case train.names != nil:
		return s.WithClasses(train.names)
	case s.names != nil:
		return nil, &DataError{
			File:    s.file,
			Problem: fmt.Sprintf("the labels are names (%s), those of %s whole numbers", list(s.names), train.name),
			Remedy:  "give both in one form, or add classes=A;B;C to the spec of the training data",
		}
	}
	return s, nil
}

// label is the text of a label.
func (s *Set) label(y int) string {
	if s.names != nil {
		return s.names[y]
	}
	return strconv.Itoa(y)
}

// places maps each name to its place.
func places(names []string) map[string]int {
	place := make(map[string]int, len(names))
	for i, name := range names {
		place[canonical(name)] = i
	}
	return place
}

// canonical writes numbers of one value in one way.
func canonical(name string) string {
	if v, ok := parseNumber(strings.TrimSpace(name)); ok {
		return formatList([]float64{v})
	}
	return name
}
