package command

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/internal/memory"
	"github.com/relupath/relupath/internal/words"
)

// readInputs reads [NAME=]X.npy for every input of a network and returns the
// values and the size of the batch. A network with one input needs no name. An array of
// one sample beside others of several serves each of them.
func (a *app) readInputs(ctx context.Context, n *dag.Network, specs []string) ([][]float64, int, error) {
	values, sizes := make([][]float64, len(n.Inputs)), make([]int, len(n.Inputs))
	batch := 1
	for _, spec := range specs {
		k, file, err := inputOf(n, spec)
		if err != nil {
			return nil, 0, err
		}
		if values[k] != nil {
			return nil, 0, usagef("input %q is given twice", n.Inputs[k].Name)
		}
		arr, err := a.readArray(ctx, file)
		if err != nil {
			return nil, 0, err
		}
		nd := &n.Nodes[n.Inputs[k].Node]
		size, ok := batchOf(arr.shape, nd.Shape)
		if !ok {
			return nil, 0, invalidf("%s: shape %v does not fit input %q: want the batch and then %v", file, arr.shape, n.Inputs[k].Name, nd.Shape)
		}
		switch {
		case size == 0:
			return nil, 0, invalidf("%s: shape %v has no sample", file, arr.shape)
		case batch > 1 && size > 1 && size != batch:
			return nil, 0, invalidf("%s: a batch of %s, another input has %d", file, words.Count(size, "sample"), batch)
		}
		values[k], sizes[k], batch = arr.data, size, max(batch, size)
	}
	for k, v := range values {
		if v == nil {
			return nil, 0, usagef("input %q is missing: give %s=X.npy", n.Inputs[k].Name, n.Inputs[k].Name)
		}
		if sizes[k] < batch {
			values[k] = slices.Repeat(v, batch)
		}
	}
	return values, batch, nil
}

// inputOf tells which input a spec is for, and its file. A name ends at the
// first = that gives an input's name; a path may contain = too.
func inputOf(n *dag.Network, spec string) (k int, file string, err error) {
	var names []string
	for k, p := range n.Inputs {
		if file, ok := strings.CutPrefix(spec, p.Name+"="); ok {
			return k, file, nil
		}
		names = append(names, p.Name)
	}
	if len(n.Inputs) == 1 {
		if name, _, ok := strings.Cut(spec, "="); ok {
			if _, err := os.Stat(spec); err != nil {
				return 0, "", usagef("the model has no input %q: its input is %q", name, names[0])
			}
		}
		return 0, spec, nil
	}
	return 0, "", usagef("%s: the model has inputs %s: give NAME=X.npy for each", spec, strings.Join(names, ", "))
}

func (a *app) readArray(ctx context.Context, file string) (*array, error) {
	raw, err := a.readFile(ctx, file)
	if err != nil {
		return nil, err
	}
	if file == stdStream {
		file = "standard input"
	}
	return readNPY(file, raw)
}

// readFile reads a file, or standard input for "-".
func (a *app) readFile(ctx context.Context, file string) ([]byte, error) {
	if file == stdStream {
		return a.readIn(ctx)
	}
	info, err := os.Stat(file)
	regular := err == nil && info.Mode().IsRegular()
	if regular && info.Size() > memory.Limit()/2 {
		return nil, tooLarge(file, info.Size())
	}
	a.readsData(file)
	if !regular {
		return os.ReadFile(file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	buf := bytes.NewBuffer(kernel.LargePages(make([]byte, info.Size()+bytes.MinRead))[:0])
	_, err = buf.ReadFrom(f)
	return buf.Bytes(), err
}

// tooLarge is the error for an array of so many bytes that memory has no room for.
func tooLarge(file string, n int64) error {
	return invalidf("%s: the array takes %s, and there are %d MiB of memory: split it", file, words.Count(n, "byte"), memory.Limit()>>20)
}

// batchOf returns the number of samples in an array: its first axis, or 1 when
// the array is one sample without a batch axis.
func batchOf(shape, sample []int) (int, bool) {
	size := dag.Size(sample)
	if len(shape) > 0 && dag.Size(shape[1:]) == size {
		return shape[0], true
	}
	return 1, dag.Size(shape) == size
}
