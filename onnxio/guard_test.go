package onnxio_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/onnxio"
)

// TestFileShrinks cuts a mapped file off: reading its weights, on one goroutine
// or on several, is an error and not the end of the program.
func TestFileShrinks(t *testing.T) {
	var b dag.Builder
	x := b.Input("x", 512)
	w := make([]float64, 512*512)
	h := b.Affine("fc1", x, 512, w, nil)
	b.Output("y", b.Affine("fc2", b.Activation("relu", h, 0), 512, w, nil))
	net, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "m.onnx")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(onnxio.WriteNetwork(f, net), f.Close()); err != nil {
		t.Fatal(err)
	}
	m, err := onnxio.Read(path, onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	groups := m.Net.Groups()
	factors := groups.Ones()
	for id := range factors {
		if groups.Pin[id] == "" {
			factors[id] = 2
		}
	}
	rescaled, err := m.Net.Rescale(groups, factors)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range m.Net.Params() {
		p.MaxAbs(1) // so that writing meets the fault where it encodes
	}
	if err := os.Truncate(path, 4096); err != nil {
		t.Fatal(err)
	}
	norms := func(threads int) func() error {
		return func() error {
			for i := range m.Net.Nodes {
				if l, ok := m.Net.Nodes[i].Op.(*dag.Linear); ok {
					paths.RowNorms(l, 1, threads)
				}
			}
			return nil
		}
	}
	for name, read := range map[string]func() error{
		"norms": norms(1), "norms on 4 goroutines": norms(4),
		// Products are computed by a library outside Go where there is one.
		"outputs": func() error {
			_, err := eval.Run(context.Background(), m.Net, [][]float64{make([]float64, 512)}, 1, eval.Options{})
			return err
		},
	} {
		err := m.Guard(read)
		var invalid *onnxio.InvalidError
		if !errors.As(err, &invalid) || !strings.Contains(err.Error(), "the file changed while it was read") {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for _, net := range []*dag.Network{m.Net, rescaled} {
		if err := m.WriteFile(filepath.Join(t.TempDir(), "out.onnx"), net, onnxio.WriteOptions{}); err == nil {
			t.Error("a file that was cut off was written")
		}
	}
	// What f returns or panics with is passed on.
	if err := m.Guard(func() error { return context.Canceled }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	defer func() {
		if r := recover(); r != "mine" {
			t.Errorf("recovered %v", r)
		}
	}()
	_ = m.Guard(func() error { panic("mine") })
}
