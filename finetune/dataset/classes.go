package dataset

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/relupath/relupath/internal/words"
)

// WithClasses returns the set with label k standing for names[k]: labels are
// found by their name without the spaces around it, numbers by their value, so that
// 1 and 1.0 are one class. Whole numbers as they stand count from 0 where no name is
// a number. The targets of a regression set, one an example, are taken for such labels.
// Values are shared with s. Errors: a label without a name in the list, two names of one
// class, several targets an example.
func (s *Set) WithClasses(names []string) (*Set, error) {
	place, err := places(names)
	if err != nil {
		return nil, wrong(s.file, "the list of classes", err.Error(), "name each class once with classes=A;B;C in the data spec, in the order of the model's scores")
	}
	if s.width > 1 {
		return nil, wrong(s.file, "", fmt.Sprintf("%s an example, want one class label", words.Count(s.width, "target")),
			"take the argmax of one-hot rows, or add task=regression")
	}
	out := *s
	out.names, out.classes, out.given = slices.Clone(names), len(names), true
	out.targets, out.width, out.unlisted = nil, 0, nil
	counts := s.names == nil && !slices.ContainsFunc(names, func(n string) bool {
		_, ok := parseNumber(n)
		return ok
	})
	out.labels = make([]int, s.n)
	for i := range out.labels {
		text := s.label(i)
		k, ok := place[text]
		if y, err := strconv.Atoi(text); counts && err == nil {
			k, ok = y, 0 <= y && y < len(names)
		}
		if !ok {
			return nil, wrong(s.file, record(i), fmt.Sprintf("label %q is none of the classes %s", text, list(names)),
				"leave the example out, or name every class with classes=A;B;C in the data spec, in the order of the model's scores")
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
		return nil, wrong(s.file, "", fmt.Sprintf("the labels are names (%s), those of %s whole numbers", list(s.names), train.name),
			"give both in one form, or add classes=A;B;C to the spec of the training data")
	}
	return s, nil
}

// label is the canonical text of an example's label.
func (s *Set) label(i int) string {
	switch {
	case s.width > 0:
		return formatList([]float64{s.targets[i] + 0})
	case s.names != nil:
		return canonical(s.names[s.labels[i]])
	}
	return strconv.Itoa(s.labels[i])
}

// places maps each name to its place. Error: two names of one class.
func places(names []string) (map[string]int, error) {
	place := make(map[string]int, len(names))
	for i, name := range names {
		text := canonical(name)
		if k, ok := place[text]; ok {
			return nil, fmt.Errorf("%q and %q are one class: numbers count by their value, names without the spaces around them", names[k], name)
		}
		place[text] = i
	}
	return place, nil
}

// canonical writes numbers of one value in one way, and names without the spaces
// around them, as csv files are read.
func canonical(name string) string {
	name = strings.TrimSpace(name)
	if v, ok := parseNumber(name); ok {
		return formatList([]float64{v + 0}) // no -0
	}
	return name
}
