package eval

import (
	"slices"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
)

// memoryOf has so many bytes of memory during a test.
func memoryOf(t *testing.T, n int64) {
	old := limit
	limit = func() int64 { return n }
	t.Cleanup(func() { limit = old })
}

// TestRoom: a network is refused where the values that are there at a time are more than the memory.
// Of 4 - 8 - relu - 2 they are most at the first layer, 12 numbers; the relu is put in place. A
// second reader of what is before it makes it 8 more.
func TestRoom(t *testing.T) {
	weights := func(name string, rows, cols int) *dag.Linear {
		p := dag.NewParam32(name, dag.Float32, []int{rows, cols}, make([]float32, rows*cols))
		return &dag.Linear{Map: &dag.Dense{W: dag.Use{Param: p}, Rows: rows, Cols: cols}}
	}
	for _, c := range []struct {
		skip bool
		want int64
	}{{false, 12}, {true, 16}} {
		var b dag.Builder
		x := b.Input("x", 4)
		a := b.Node(dag.Node{Name: "a", In: []int{x}, Shape: []int{8}, Op: weights("w", 8, 4)})
		h := b.Activation("h", a, 0)
		if c.skip {
			h = b.Node(dag.Node{Name: "s", In: []int{h, a}, Shape: []int{8}, Op: &dag.Add{}})
		}
		b.Output("y", b.Node(dag.Node{Name: "o", In: []int{h}, Shape: []int{2}, Op: weights("v", 2, 8)}))
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		run := func() error {
			_, err := Run(t.Context(), n, [][]float64{make([]float64, 4)}, 1, Options{})
			return err
		}
		memoryOf(t, 8*c.want)
		if err := run(); err != nil {
			t.Errorf("skip %v: %v", c.skip, err)
		}
		memoryOf(t, 8*c.want-8)
		if err := run(); err == nil || !strings.Contains(err.Error(), "memory") {
			t.Errorf("skip %v: %v with memory for %d numbers", c.skip, err, c.want-1)
		}
	}
}

// TestRoomOfShapes: a value under another shape is the same numbers, which are there once.
func TestRoomOfShapes(t *testing.T) {
	var b dag.Builder
	x := b.Input("x", 8)
	f := b.Node(dag.Node{Name: "f", In: []int{x}, Shape: []int{4, 2}, Op: &dag.Select{}})
	g := b.Node(dag.Node{Name: "g", In: []int{x}, Shape: []int{4, 2}, Op: &dag.Select{}})
	h := b.Node(dag.Node{Name: "h", In: []int{f, g}, Shape: []int{4, 2}, Op: &dag.Add{}})
	b.Output("y", b.Node(dag.Node{Name: "s", In: []int{h, f}, Shape: []int{4, 2}, Op: &dag.Add{}}))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	memoryOf(t, 8*16)
	if _, err := Run(t.Context(), n, [][]float64{make([]float64, 8)}, 1, Options{}); err != nil {
		t.Error(err)
	}
}

// TestBuffers: evaluations with memory of earlier ones, of other networks too, have the same bits, and
// ask for none for as many samples; values that nodes share are given back once.
func TestBuffers(t *testing.T) {
	var buffers Buffers
	for seed := range uint64(40) {
		n := dagtest.FromSeed(seed, dagtest.Options{Features: dagtest.All, Steps: 6, Width: 5})
		var in [][]float64
		for k, p := range n.Inputs {
			x := make([]float64, 3*n.Nodes[p.Node].Len())
			for i := range x {
				x[i] = float64((i*7+k)%11) - 5
			}
			in = append(in, x)
		}
		want, err := Run(t.Context(), n, in, 3, Options{})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			got, err := Run(t.Context(), n, in, 3, Options{Buffers: &buffers})
			if err != nil {
				t.Fatal(err)
			}
			for k := range want {
				for i, v := range want[k] {
					if got[k][i] != v && v == v {
						t.Fatalf("seed %d: %v, want %v", seed, got[k], want[k])
					}
				}
			}
			buffers.Give(append(got, got...))
			seen := map[*float64]bool{}
			for _, v := range buffers.free {
				if p := &v[:1][0]; seen[p] {
					t.Fatal("one buffer twice")
				} else {
					seen[p] = true
				}
			}
		}
	}
}

// TestBuffersOfNothing: networks of values without elements leave no buffers.
func TestBuffersOfNothing(t *testing.T) {
	for _, c := range []struct{ rows, cols int }{{2, 0}, {0, 3}} {
		var b dag.Builder
		x := b.Input("x", c.cols)
		w := dag.NewParam32("w", dag.Float32, []int{c.rows, c.cols}, nil)
		b.Output("y", b.Node(dag.Node{Name: "y", In: []int{x}, Shape: []int{c.rows}, Op: &dag.Linear{Map: &dag.Dense{W: dag.Use{Param: w}, Rows: c.rows, Cols: c.cols}}}))
		n, err := b.Build()
		if err != nil {
			t.Fatal(err)
		}
		var buffers Buffers
		for range 2 {
			y, err := Run(t.Context(), n, [][]float64{make([]float64, 2*c.cols)}, 2, Options{Buffers: &buffers})
			if err != nil || len(y[0]) != 2*c.rows {
				t.Fatal(y, err)
			}
			buffers.Give(y)
			buffers.Give(y)
		}
	}
}

// TestBuffersOfInputs: an output that is an input is not lent to evaluations of the samples behind it.
func TestBuffersOfInputs(t *testing.T) {
	var b dag.Builder
	x := b.Input("x", 2)
	w := dag.NewParam32("w", dag.Float32, []int{4, 2}, []float32{1, 2, 3, 4, 5, 6, 7, 8})
	h := b.Node(dag.Node{Name: "h", In: []int{x}, Shape: []int{4}, Op: &dag.Linear{Map: &dag.Dense{W: dag.Use{Param: w}, Rows: 4, Cols: 2}}})
	b.Output("x", x)
	b.Output("flat", b.Node(dag.Node{Name: "f", In: []int{x}, Shape: []int{2, 1}, Op: &dag.Select{}}))
	b.Output("y", h)
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	all := []float64{1, 2, 3, 4, 5, 6, 7, 8}
	var buffers Buffers
	free := 0
	for k := range 4 {
		y, err := Run(t.Context(), n, [][]float64{all[2*k : 2*k+2]}, 1, Options{Buffers: &buffers})
		if err != nil {
			t.Fatal(err)
		}
		a, c := float64(2*k+1), float64(2*k+2)
		if want := []float64{a + 2*c, 3*a + 4*c, 5*a + 6*c, 7*a + 8*c}; !slices.Equal(y[2], want) {
			t.Errorf("sample %d: %v, want %v", k, y[2], want)
		}
		buffers.Give(y)
		if k == 1 {
			free = len(buffers.free)
		} else if k > 1 && len(buffers.free) != free {
			t.Errorf("%d buffers after %d", len(buffers.free), free)
		}
	}
	if !slices.Equal(all, []float64{1, 2, 3, 4, 5, 6, 7, 8}) {
		t.Errorf("the caller's numbers are %v", all)
	}
}
