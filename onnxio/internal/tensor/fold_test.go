package tensor

import (
	"errors"
	"math"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

func floatsOf(typ wire.DataType, dims []int, v ...float64) *Tensor { return NewTensor(typ, dims, v) }

func intsOf(typ wire.DataType, dims []int, v ...int64) *Tensor { return NewIntegers(typ, dims, v) }

// TestFoldPair checks arithmetic of constants in their own types, against what
// NumPy gives.
func TestFoldPair(t *testing.T) {
	one := []int{1}
	for _, c := range []struct {
		name, op string
		a, b     *Tensor
		want     []float64
		typ      wire.DataType
	}{
		{"int8 wraps", "Add", intsOf(wire.Int8, one, 127), intsOf(wire.Int8, one, 1), []float64{-128}, wire.Int8},
		{"uint8 wraps below 0", "Sub", intsOf(wire.Uint8, one, 3), intsOf(wire.Uint8, one, 5), []float64{254}, wire.Uint8},
		{"uint16 product wraps", "Mul", intsOf(wire.Uint16, one, 300), intsOf(wire.Uint16, one, 300), []float64{24464}, wire.Uint16},
		{"int32 product wraps", "Mul", intsOf(wire.Int32, one, 1<<20), intsOf(wire.Int32, one, 1<<12), []float64{0}, wire.Int32},
		{
			"integers divide towards zero", "Div", intsOf(wire.Int64, []int{4}, 7, -7, 7, -7), intsOf(wire.Int64, []int{4}, 2, 2, -2, -2),
			[]float64{3, -3, -3, 3},
			wire.Int64,
		},
		{
			"the remainder has the divisor's sign", "Mod", intsOf(wire.Int64, []int{4}, 7, -7, 7, -7), intsOf(wire.Int64, []int{4}, 3, 3, -3, -3),
			[]float64{1, 2, -2, -1},
			wire.Int64,
		},
		{
			"a signed shift keeps the sign, at any distance", "RIGHT", intsOf(wire.Int32, []int{4}, -8, 8, -8, -8), intsOf(wire.Int32, []int{4}, 1, 1, 40, -1),
			[]float64{-4, 4, -1, -1},
			wire.Int32,
		},
		{"uint64 above 2^63", "Greater", intsOf(wire.Uint64, one, -1), intsOf(wire.Uint64, one, 1), []float64{1}, wire.Bool},
		{"negative power of an integer", "Pow", intsOf(wire.Int64, []int{3}, 2, 1, -1), intsOf(wire.Int64, one, -3), []float64{0, 1, -1}, wire.Int64},
		{"float32 rounds", "Add", floatsOf(wire.Float32, one, 1), floatsOf(wire.Float32, one, 0x1p-25), []float64{1}, wire.Float32},
		{"float64 does not", "Add", floatsOf(wire.Float64, one, 1), floatsOf(wire.Float64, one, 0x1p-25), []float64{1 + 0x1p-25}, wire.Float64},
		{"float16 rounds to even", "Add", floatsOf(wire.Float16, one, 2048), floatsOf(wire.Float16, one, 3), []float64{2052}, wire.Float16},
		{"float16 overflows", "Mul", floatsOf(wire.Float16, one, 60000), floatsOf(wire.Float16, one, 2), []float64{math.Inf(1)}, wire.Float16},
		{"bfloat16 rounds", "Add", floatsOf(wire.BFloat16, one, 256), floatsOf(wire.BFloat16, one, 1), []float64{256}, wire.BFloat16},
		{"quotient of zeros", "Div", floatsOf(wire.Float32, one, 0), floatsOf(wire.Float32, one, 0), []float64{math.NaN()}, wire.Float32},
		{"a maximum keeps NaN", "Max", floatsOf(wire.Float32, one, math.NaN()), floatsOf(wire.Float32, one, 1), []float64{math.NaN()}, wire.Float32},
		{
			"broadcasting", "Sub", floatsOf(wire.Float32, []int{2, 1}, 1, 2), floatsOf(wire.Float32, []int{3}, 1, 2, 3),
			[]float64{0, -1, -2, 1, 0, -1},
			wire.Float32,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := FoldPair(c.op, c.a, c.b)
			if err != nil {
				t.Fatal(err)
			}
			v, err := got.Float64s()
			if err != nil {
				t.Fatal(err)
			}
			if got.DataType() != c.typ {
				t.Errorf("type %v, want %v", got.DataType(), c.typ)
			}
			if diff := cmp.Diff(c.want, v, cmp.Comparer(func(x, y float64) bool { return x == y || x != x && y != y })); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// TestFoldPairBroadcasts: every element of operands of random shapes, those of extent 1 repeated,
// is where NumPy has it, and nothing beside the result takes memory.
func TestFoldPairBroadcasts(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var dims []int
		for range rapid.IntRange(0, 5).Draw(t, "rank") {
			dims = append(dims, rapid.IntRange(0, 3).Draw(t, "extent"))
		}
		operand := func(name string) *Tensor {
			own := slices.Clone(dims[rapid.IntRange(0, len(dims)).Draw(t, name):])
			for k := range own {
				if rapid.Bool().Draw(t, "single") {
					own[k] = 1
				}
			}
			v := make([]float64, dag.Size(own))
			for i := range v {
				v[i] = float64(i)
			}
			return floatsOf(wire.Float64, own, v...)
		}
		a, b := operand("a"), operand("b")
		got, err := FoldPair("Sub", a, b)
		if err != nil {
			t.Fatal(err)
		}
		place := func(of *Tensor, at []int) float64 {
			k := 0
			for d, n := range of.Dims {
				k *= n
				if n != 1 {
					k += at[len(at)-len(of.Dims)+d]
				}
			}
			return float64(k)
		}
		at := make([]int, len(got.Dims))
		for e, x := range got.Floats {
			for d, rest := len(at)-1, e; d >= 0; d-- {
				at[d], rest = rest%got.Dims[d], rest/got.Dims[d]
			}
			if want := place(a, at) - place(b, at); x != want {
				t.Fatalf("%v - %v at %v: %v, want %v", a.Dims, b.Dims, at, x, want)
			}
		}
	})
	const n = 1 << 20
	row, column := NewFloats(dag.Float32, []int{n / 64}, make([]float64, n/64)), NewFloats(dag.Float32, []int{64, 1}, make([]float64, 64))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := FoldPair("Add", row, column); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 9*n {
		t.Errorf("a sum of %d numbers takes %d bytes", n, got)
	}
}

// TestFoldBatch checks that the batch size passes through shape computations
// unchanged and that nothing is computed from it.
func TestFoldBatch(t *testing.T) {
	n := intsOf(wire.Int64, []int{1}, BatchDim)
	number := func(x int64) *Tensor { return intsOf(wire.Int64, []int{1}, x) }
	for _, c := range []struct {
		op   string
		a, b *Tensor
		want int64
		bad  bool
	}{
		{op: "Mul", a: n, b: number(1), want: BatchDim},
		{op: "Mul", a: number(1), b: n, want: BatchDim},
		{op: "Div", a: n, b: number(1), want: BatchDim},
		{op: "Add", a: number(0), b: n, want: BatchDim},
		{op: "Equal", a: n, b: number(-1), want: 0},
		{op: "Equal", a: n, b: number(4), bad: true},
		{op: "Mul", a: n, b: number(2), want: Batches(2)},
		{op: "Mul", a: number(3), b: intsOf(wire.Int64, []int{1}, Batches(2)), want: Batches(6)},
		{op: "Div", a: intsOf(wire.Int64, []int{1}, Batches(6)), b: number(2), want: Batches(3)},
		{op: "Div", a: intsOf(wire.Int64, []int{1}, Batches(6)), b: n, want: 6},
		{op: "Div", a: intsOf(wire.Int64, []int{1}, Batches(6)), b: number(4), bad: true},
		{op: "Mul", a: n, b: n, bad: true},
		{op: "Mul", a: n, b: number(-1), bad: true},
		{op: "Mul", a: n, b: number(0), bad: true},
		{op: "Add", a: n, b: intsOf(wire.Int64, []int{1}, Batches(2)), bad: true},
		{op: "Equal", a: intsOf(wire.Int64, []int{1}, Batches(2)), b: number(0), want: 0},
		{op: "Equal", a: intsOf(wire.Int64, []int{1}, Batches(2)), b: number(6), bad: true},
		{op: "Sub", a: number(0), b: n, bad: true},
		{op: "Div", a: number(1), b: n, bad: true},
		{op: "Max", a: n, b: number(1), bad: true},
		{op: "Add", a: n, b: n, bad: true},
	} {
		got, err := FoldPair(c.op, c.a, c.b)
		var mixes *refusal.Batch
		switch {
		case c.bad && !errors.As(err, &mixes):
			t.Errorf("%s(%v, %v): error %v, want one about the batch", c.op, c.a.Ints, c.b.Ints, err)
		case !c.bad && (err != nil || got.Ints[0] != c.want):
			t.Errorf("%s(%v, %v) = %v, %v, want %d", c.op, c.a.Ints, c.b.Ints, got, err, c.want)
		}
	}
	if _, err := FoldPair("Div", number(1), number(0)); err == nil {
		t.Error("an integer divided by zero")
	}
}

// TestFoldRearrangements checks concatenation, indexing and products of
// constants, integers included.
func TestFoldRearrangements(t *testing.T) {
	a := intsOf(wire.Int32, []int{2, 2}, 1, 2, 3, 4)
	b := intsOf(wire.Int32, []int{2, 1}, 5, 6)
	cat, err := FoldConcat([]*Tensor{a, b}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{1, 2, 5, 3, 4, 6}, cat.Ints); diff != "" || cat.DataType() != wire.Int32 {
		t.Errorf("concatenation of %v (-want +got)\n%s", cat.DataType(), diff)
	}
	some, err := cat.Indexed([]int{2, 2}, []int32{2, 0, 5, 3})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{5, 1, 6, 3}, some.Ints); diff != "" {
		t.Errorf("entries (-want +got)\n%s", diff)
	}
	wide, err := FoldExpand(b, []int{2, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{5, 5, 5, 6, 6, 6, 5, 5, 5, 6, 6, 6}, wide.Ints); diff != "" {
		t.Errorf("expanded (-want +got)\n%s", diff)
	}
	// A stack of two 1x2 rows times a 2x2 matrix.
	p, err := FoldProduct(floatsOf(wire.Float32, []int{2, 1, 2}, 1, 2, 3, 4), floatsOf(wire.Float32, []int{2, 2}, 1, 10, 100, 1000))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float64{201, 2010, 403, 4030}, p.Floats); diff != "" || !cmp.Equal(p.Dims, []int{2, 1, 2}) {
		t.Errorf("product of shape %v (-want +got)\n%s", p.Dims, diff)
	}
	if _, err := FoldExpand(b, []int{1 << 14, 2, 1 << 14}); err == nil {
		t.Error("a constant of 2^29 elements was made")
	}
}
