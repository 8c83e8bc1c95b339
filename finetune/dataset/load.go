package dataset

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relupath/relupath/internal/words"
)

// Options are the choices that a spec leaves open.
type Options struct {
	// DefaultSplit is read where the spec names no split; Train if empty.
	DefaultSplit Split
	// Task decides what the labels of csv, npy and npz are; if empty, the data
	// do.
	Task Task
	// Like is the training set of a test set: the labels are read as its are, and
	// get the same numbers, or are refused. Default: nil.
	Like *Set
	// Unlisted keeps labels that are none as they stand, integers such as -1 (as targets)
	// and numbers among words, with the error in Set.Unlisted, for a list of classes that
	// comes later.
	// By default Load returns the error.
	Unlisted bool
}

// Load reads the examples that a spec names into memory, checks every one of
// them and returns them as a Set. A spec that fits no file gives a *SpecError,
// a file that cannot be used a *DataError; when ctx ends, the error wraps
// ctx.Err().
func Load(ctx context.Context, spec Spec, opt Options) (*Set, error) {
	if opt.Like != nil {
		opt.Task = opt.Like.Task()
		if spec.Classes == nil {
			spec.Classes = opt.Like.names
		}
	}
	if spec.Task = cmp.Or(spec.Task, opt.Task); spec.Task == "" && spec.Classes != nil {
		spec.Task = Classification
	}
	split := cmp.Or(spec.Split, opt.DefaultSplit, Train)
	f, known := formats[spec.Format]
	if !known || len(spec.Paths) != len(f.paths) || spec.Limit < 0 {
		return nil, &SpecError{Spec: spec.String(), Problem: "the spec is not complete", Remedy: "make it with Parse"}
	}
	from := split
	if spec.Share > 0 {
		from = Train // of an archive that has splits of its own
	}
	t, err := f.read(ctx, spec, from)
	if err != nil {
		return nil, err
	}
	t.name = spec.Format + " " + filepath.Base(spec.Paths[0])
	if strings.Contains(f.options, "split") && !slices.Contains(divided, spec.Format) {
		t.split = split
	}
	if t.split != "" {
		t.name = spec.Format + " " + string(t.split)
	}
	if err := t.arrange(spec.Transpose); err != nil {
		return nil, err
	}
	norm, err := t.normaliser(spec)
	if err != nil {
		return nil, err
	}
	s := newSet(t, norm)
	s.told = spec.Task != ""
	if s.unlisted != nil && !opt.Unlisted {
		return nil, s.unlisted
	}
	if spec.Classes != nil {
		if s, err = s.WithClasses(spec.Classes); err != nil {
			return nil, err
		}
	}
	if spec.Share > 0 || t.parts != nil {
		if s, err = s.part(spec, t.parts, split); err != nil {
			return nil, err
		}
	}
	if opt.Like == nil || s.Task() == Regression {
		return s, nil
	}
	return s.like(opt.Like)
}

// part returns the training or the test examples of a set that a spec divides, by a share or by
// what a column says of each, in the order of the file. Errors: one of them would be empty.
func (s *Set) part(spec Spec, parts []Split, split Split) (*Set, error) {
	var rows []int
	if parts != nil {
		for i, p := range parts {
			if p == split {
				rows = append(rows, i)
			}
		}
		if rows == nil {
			return nil, wrong(s.file, "", fmt.Sprintf("split: no example is in the %s split", split), "name another column, or take more examples")
		}
	} else {
		order := s.Order(spec.ShareSeed, 0)
		n := int(math.Round(spec.Share * float64(s.n)))
		if n == 0 || n == s.n {
			return nil, wrong(s.file, "", fmt.Sprintf("split: a share of %v of %s leaves %d to train on and %d to test on", spec.Share, words.Count(s.n, "example"), n, s.n-n),
				"give another share, or more examples")
		}
		if rows = order[:n]; split == Test {
			rows = order[n:]
		}
	}
	slices.Sort(rows)
	out := s.Subset(rows)
	out.name, out.split = fmt.Sprintf("%s %s", s.name, split), split
	return out, nil
}
