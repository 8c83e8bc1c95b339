package dataset

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
)

// Options are what the caller of Load decides where the spec is silent.
type Options struct {
	// DefaultSplit is read where the spec names no split; Train if empty.
	DefaultSplit Split
	// Task decides what the labels of csv, npy and npz are; if empty, the data
	// do.
	Task Task
	// Classes are the class names of the training set (Set.ClassNames), so that
	// text labels of a test set get the same numbers; a label that is not among
	// them is an error. If empty, the names are those in the file, sorted.
	Classes []string
}

// Load reads the examples that a spec names into memory, checks every one of
// them and returns them as a Set. A spec that fits no file gives a *SpecError,
// a file that cannot be used a *DataError; when ctx ends, the error wraps
// ctx.Err().
func Load(ctx context.Context, spec Spec, opt Options) (*Set, error) {
	if spec.Task == "" {
		spec.Task = opt.Task
	}
	split := spec.Split
	if split == "" {
		split = opt.DefaultSplit
	}
	if split == "" {
		split = Train
	}
	f, known := formats[spec.Format]
	if !known || len(spec.Paths) != len(f.paths) || spec.Limit < 0 {
		return nil, &SpecError{Spec: spec.String(), Problem: "the spec is not complete", Remedy: "make it with Parse"}
	}
	t, err := read(ctx, spec, split, opt.Classes)
	if err != nil {
		return nil, err
	}
	t.name = spec.Format + " " + filepath.Base(spec.Paths[0])
	if strings.Contains(f.options, "split") && (spec.Format != "npz" || spec.Split != "") {
		t.name = spec.Format + " " + string(split)
	}
	t.limit(spec.Limit)
	if err := t.arrange(spec.Transpose); err != nil {
		return nil, err
	}
	norm, err := t.normaliser(spec)
	if err != nil {
		return nil, err
	}
	return newSet(t, norm), nil
}

// read calls the format's reader.
func read(ctx context.Context, spec Spec, split Split, classes []string) (*table, error) {
	path := spec.Paths[0]
	switch spec.Format {
	case "mnist":
		return loadMNIST(ctx, path, split)
	case "idx":
		return loadIDX(ctx, path, spec.Paths[1], 0)
	case "cifar10":
		return cifar10.load(ctx, path, split)
	case "cifar100":
		return cifar100.load(ctx, path, split)
	case "svhn":
		return loadSVHN(ctx, path)
	case "npz":
		return loadNPZ(ctx, path, spec, split)
	case "npy":
		return loadNPY(ctx, path, spec.Paths[1], spec.Task)
	case "csv":
		return loadCSV(ctx, path, spec, classes)
	}
	panic(fmt.Sprintf("dataset: format %s has no reader", spec.Format))
}
