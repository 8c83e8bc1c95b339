package dataset

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// The expected orders were computed by a program in Python that has the
// generator and the shuffle from their descriptions (testdata/make.py).
func TestOrder(t *testing.T) {
	s := &Set{table: table{n: 10}}
	for _, test := range []struct {
		seed  uint64
		epoch int
		want  []int
	}{
		{1, 0, []int{7, 6, 1, 3, 2, 4, 8, 9, 0, 5}},
		{1, 1, []int{2, 5, 8, 3, 4, 1, 7, 6, 0, 9}},
		{math.MaxUint64, 7, []int{4, 3, 0, 6, 7, 8, 1, 9, 5, 2}},
	} {
		diff(t, fmt.Sprint(test.seed, test.epoch), test.want, s.Order(test.seed, test.epoch))
	}
	for n := range 2 {
		diff(t, "few", []int{0}[:n], (&Set{table: table{n: n}}).Order(1, 0))
	}
}

func TestOrderIsPermutation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &Set{table: table{n: rapid.IntRange(0, 200).Draw(t, "n")}}
		order := s.Order(rapid.Uint64().Draw(t, "seed"), rapid.IntRange(0, 1000).Draw(t, "epoch"))
		slices.Sort(order)
		for i, v := range order {
			if i != v {
				t.Fatalf("place %d of the sorted order holds %d", i, v)
			}
		}
	})
}

// makeSet is a set of n examples whose values are those of f, by index.
func makeSet(t testing.TB, spec Spec, n int, shape []int, layout Layout, f features) *Set {
	t.Helper()
	tab := &table{x: f, n: n, shape: shape, layout: layout, labels: make([]int, n), classes: 1, pixels: f.u8 != nil}
	for i := range tab.labels {
		tab.labels[i] = i
	}
	if err := tab.arrange(spec.Transpose); err != nil {
		t.Fatal(err)
	}
	norm, err := tab.normaliser(spec)
	if err != nil {
		t.Fatal(err)
	}
	return newSet(tab, norm)
}

// Every storage and every way to a value agrees with the formula, to the bit in
// double precision and to one rounding in single.
func TestBatchFormula(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const n = 5
		shape := []int{rapid.IntRange(1, 20).Draw(t, "a"), rapid.IntRange(5, 7).Draw(t, "b"), rapid.IntRange(5, 7).Draw(t, "c")}
		size := shape[0] * shape[1] * shape[2]
		raw := rapid.SliceOfN(rapid.Byte(), n*size, n*size).Draw(t, "bytes")
		var f features
		kind := rapid.IntRange(0, 2).Draw(t, "storage")
		for _, b := range raw {
			switch kind {
			case 0:
				f.u8 = append(f.u8, b)
			case 1:
				f.f32 = append(f.f32, float32(b))
			case 2:
				f.f64 = append(f.f64, float64(b))
			}
		}
		spec := Spec{Scale: rapid.Float64Range(0.1, 2).Draw(t, "scale")}
		channels := rapid.SampledFrom([]int{0, 1, shape[0]}).Draw(t, "channels")
		for c := range channels {
			spec.Mean = append(spec.Mean, float64(c)/3)
			spec.Std = append(spec.Std, float64(c+1)*0.7)
		}
		tab := &table{x: f, n: n, shape: shape, layout: LayoutCHW}
		norm, err := tab.normaliser(spec)
		if err != nil {
			t.Fatal(err)
		}
		s := newSet(tab, norm)
		order := rapid.SliceOfN(rapid.IntRange(0, n-1), 1, 8).Draw(t, "order")
		x64, x32 := make([]float64, len(order)*size), make([]float32, len(order)*size)
		s.Batch64(x64, order)
		s.Batch32(x32, order)
		for k, i := range order {
			for j := range size {
				mean, std := 0., 1.
				if channels > 0 {
					c := j / (shape[1] * shape[2]) % channels
					mean, std = spec.Mean[c], spec.Std[c]
				}
				want := (float64(float64(raw[i*size+j])*spec.Scale) - mean) / std
				if got := x64[k*size+j]; got != want {
					t.Fatalf("Batch64: example %d, value %d: got %v, want %v", i, j, got, want)
				}
				if got := x32[k*size+j]; got != float32(want) {
					t.Fatalf("Batch32: example %d, value %d: got %v, want %v", i, j, got, float32(want))
				}
			}
		}
	})
}

func TestTranspose(t *testing.T) {
	// Value 100c + 10h + w of an image of 2 channels, 5 rows and 6 columns.
	var chw, hwc []float64
	for c := range 2 {
		for h := range 5 {
			for w := range 6 {
				chw = append(chw, float64(100*c+10*h+w))
			}
		}
	}
	for h := range 5 {
		for w := range 6 {
			for c := range 2 {
				hwc = append(hwc, float64(100*c+10*h+w))
			}
		}
	}
	for _, test := range []struct {
		name   string
		from   []float64
		shape  []int
		layout Layout
		want   Layout
		to     []float64
		result []int
	}{
		{"known", chw, []int{2, 5, 6}, LayoutCHW, LayoutSwap, hwc, []int{5, 6, 2}},
		{"channels first", chw, []int{2, 5, 6}, "", LayoutSwap, hwc, []int{5, 6, 2}},
		{"channels last", hwc, []int{5, 6, 2}, "", LayoutSwap, chw, []int{2, 5, 6}},
		{"wanted", hwc, []int{5, 6, 2}, "", LayoutCHW, chw, []int{2, 5, 6}},
		{"had already", chw, []int{2, 5, 6}, "", LayoutCHW, chw, []int{2, 5, 6}},
	} {
		t.Run(test.name, func(t *testing.T) {
			// The mean of channel 1 shows that channels are where they should be.
			s := makeSet(t, Spec{Transpose: test.want, Mean: []float64{0, 1000}}, 1, test.shape, test.layout, features{f64: slices.Clone(test.from)})
			want := slices.Clone(test.to)
			for i, v := range want {
				if v >= 100 {
					want[i] = v - 1000
				}
			}
			diff(t, "values", want, values(s))
			diff(t, "shape", test.result, s.Shape())
		})
	}
	unclear := features{f64: []float64{0, 1, 2, 3, 4, 5, 6, 7}}
	s := makeSet(t, Spec{Transpose: LayoutHWC}, 1, []int{2, 2, 2}, "", unclear)
	diff(t, "unclear", []float64{0, 4, 1, 5, 2, 6, 3, 7}, values(s))
}

func TestArrangeErrors(t *testing.T) {
	for _, test := range []struct {
		shape []int
		spec  Spec
		want  string
	}{
		{[]int{784}, Spec{Transpose: LayoutSwap}, "three axes"},
		{[]int{3, 3, 3}, Spec{Transpose: LayoutSwap}, "transpose=chw or transpose=hwc"},
		{[]int{9, 9, 9}, Spec{Transpose: LayoutSwap}, "does not tell"},
		{[]int{3, 9, 9}, Spec{Mean: []float64{1, 2}}, "2 numbers"},
		{[]int{4}, Spec{Mean: []float64{1, 2, 3}}, "3 numbers"},
		{[]int{3, 9, 9}, Spec{Mean: []float64{1, 2, 3}, Std: []float64{1, 2}}, "3 means and 2 standard deviations"},
	} {
		tab := &table{file: "f", shape: test.shape, n: 1}
		err := tab.arrange(test.spec.Transpose)
		if err == nil {
			_, err = tab.normaliser(test.spec)
		}
		wantDataError(t, err, test.want)
	}
}

func TestSubset(t *testing.T) {
	s := makeSet(t, Spec{Scale: 1}, 4, []int{2}, "", features{u8: []byte{0, 1, 10, 11, 20, 21, 30, 31}})
	sub := s.Subset([]int{3, 1, 1}).Subset([]int{0, 2})
	diff(t, "labels", []int{3, 1}, sub.Labels())
	diff(t, "values", []float64{30, 31, 10, 11}, values(sub))
	diff(t, "length", 2, sub.Len())
	diff(t, "whole", 4, s.Len())

	r := newSet(&table{x: features{u8: []byte{1, 2}}, n: 2, shape: []int{1}, targets: []float64{1, 2, 3, 4}, width: 2}, s.norm)
	diff(t, "targets", []float64{3, 4, 1, 2}, r.Subset([]int{1, 0}).Targets())
	diff(t, "target size", 2, r.Subset([]int{1}).TargetSize())
	diff(t, "task of nothing", Regression, r.Subset(nil).Task())
}

func TestPanics(t *testing.T) {
	s := makeSet(t, Spec{}, 2, []int{2}, "", features{u8: []byte{0, 1, 2, 3}})
	for name, f := range map[string]func(){
		"short":    func() { s.Batch32(make([]float32, 3), []int{0, 1}) },
		"negative": func() { s.Batch64(make([]float64, 4), []int{-1}) },
		"beyond":   func() { s.Batch64(make([]float64, 4), []int{2}) },
		"subset":   func() { s.Subset([]int{2}) },
		"target":   func() { s.Target(0) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			f()
		})
	}
}

func TestBatchAllocatesNothing(t *testing.T) {
	for name, f := range map[string]features{"bytes": {u8: make([]byte, 400)}, "floats": {f32: make([]float32, 400)}} {
		s := makeSet(t, Spec{Mean: []float64{1}}, 4, []int{100}, "", f)
		order, x, y := []int{0, 3, 1}, make([]float32, 300), make([]float64, 300)
		if n := testing.AllocsPerRun(10, func() { s.Batch32(x, order); s.Batch64(y, order) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkBatch(b *testing.B) {
	const n, batch = 2000, 100
	for _, bench := range []struct {
		name  string
		shape []int
		spec  Spec
		f     func(size int) features
	}{
		{"bytes/784", []int{784}, Spec{}, func(size int) features { return features{u8: make([]byte, size)} }},
		{"bytes/3x32x32/mean", []int{3, 32, 32}, Spec{Mean: []float64{.5, .4, .3}}, func(size int) features { return features{u8: make([]byte, size)} }},
		{"bytes/32x32x3/mean", []int{3, 32, 32}, Spec{Mean: []float64{.5, .4, .3}, Transpose: LayoutHWC}, func(size int) features { return features{u8: make([]byte, size)} }},
		{"float32/784", []int{784}, Spec{}, func(size int) features { return features{f32: make([]float32, size)} }},
		{"float64/784/mean", []int{784}, Spec{Mean: []float64{.5}}, func(size int) features { return features{f64: make([]float64, size)} }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			size := 1
			for _, d := range bench.shape {
				size *= d
			}
			s := makeSet(b, bench.spec, n, bench.shape, "", bench.f(n*size))
			order, dst := s.Order(1, 0)[:batch], make([]float32, batch*size)
			b.SetBytes(int64(4 * batch * size))
			b.ReportAllocs()
			for b.Loop() {
				s.Batch32(dst, order)
			}
		})
	}
}
