package command

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/onnxio"
)

// assumable returns shapes with which a model can be read that could not be read only
// because its inputs leave some open; nil where there are none.
func assumable(err error) []map[string][]int {
	var e *onnxio.UnsupportedError
	if !errors.As(err, &e) {
		return nil
	}
	return e.Examples
}

// openReason says what is missing, and the option that gives it.
func openReason(example map[string][]int) string {
	var names, options []string
	for _, name := range slices.Sorted(maps.Keys(example)) {
		names = append(names, fmt.Sprintf("%q", name))
		var shape []string
		for _, d := range example[name] {
			shape = append(shape, fmt.Sprint(d))
		}
		options = append(options, fmt.Sprintf("--input-shape %s=%s", name, strings.Join(shape, "x")))
	}
	return fmt.Sprintf("the file leaves the shape of %s open: give it, for example %s", strings.Join(names, ", "), strings.Join(options, " "))
}

// assumed measures what does not depend on shapes that a file leaves open: it reads the
// model with one assumption, or with two and keeps what is the same for both.
func (w *auditWork) assumed(ctx context.Context, path string, shapes []map[string][]int, opt analysis.Options) (out auditedModel, err error) {
	opt.Open = openReason(shapes[0])
	var other *analysis.Report
	for _, s := range slices.Backward(shapes) {
		m, err := w.again(ctx, path, &w.options.modelFlags, onnxio.Options{InputShape: s})
		if err != nil {
			return out, err
		}
		if len(shapes) == 1 || other != nil {
			out, err = w.opened(ctx, path, m, opt, other)
			out.open = opt.Open
			out.Warnings = append(out.Warnings, opt.Open)
			return out, err
		}
		err = m.Guard(func() error {
			other, err = analysis.Measures(ctx, m.Net, opt)
			return err
		})
		if err := errors.Join(err, m.Close()); err != nil {
			return out, err
		}
	}
	return out, nil
}

// openFor opens a model to evaluate it on arrays as a whole: where the file leaves shapes
// open, or an operator mixes the samples of a batch, the arrays have the shapes.
func (o *runOptions) openFor(ctx context.Context, a *app, path string) (*onnxio.Model, error) {
	m, err := a.open(ctx, path, &o.modelFlags)
	opt := onnxio.Options{Whole: true}
	if shapes := assumable(err); shapes != nil {
		opt.InputShape = shapes[0]
		m, err = a.again(ctx, path, &o.modelFlags, opt)
	} else if err == nil && m.Mixed == "" {
		return m, nil
	}
	if err != nil {
		return nil, err
	}
	defer m.Close()
	opt.InputShape = map[string][]int{}
	for _, spec := range o.inputs {
		k, file, err := inputOf(m.Net, spec)
		if err != nil {
			return nil, err
		}
		arr, err := a.readArray(ctx, file)
		if err != nil {
			return nil, err
		}
		name := m.Net.Inputs[k].Name
		opt.InputShape[name] = arr.shape
		for _, p := range m.Inputs {
			if p.Name == name && len(p.Shape) == len(arr.shape)+1 {
				opt.InputShape[name] = slices.Insert(slices.Clone(arr.shape), 0, 1) // one sample
			}
		}
	}
	for _, spec := range o.inputs {
		if spec == stdStream || strings.HasSuffix(spec, "="+stdStream) {
			a.rewind()
		}
	}
	return a.again(ctx, path, &o.modelFlags, opt)
}

// again is openWith for a model that was opened before.
func (a *app) again(ctx context.Context, path string, flags *modelFlags, opt onnxio.Options) (*onnxio.Model, error) {
	if path == stdStream {
		a.rewind()
	}
	return a.openWith(ctx, path, flags, opt)
}
