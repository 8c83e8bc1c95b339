package sums_test

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/internal/grid"
	"github.com/relupath/relupath/analysis/internal/sums"
	"github.com/relupath/relupath/analysis/scaled"
)

const precision = 200

func toBig(a scaled.Num) *big.Float {
	return new(big.Float).SetMantExp(new(big.Float).SetPrec(precision).SetFloat64(a.Frac), int(a.Exp))
}

// bigPower returns x^p of x >= 0 for p = 1, 1.5, 2, 3, 16.
func bigPower(x *big.Float, p float64) *big.Float {
	y := new(big.Float).SetPrec(precision).SetInt64(1)
	for range int(p) {
		y.Mul(y, x)
	}
	if p != math.Trunc(p) {
		y.Mul(y, new(big.Float).SetPrec(precision).Sqrt(x))
	}
	return y
}

// norms gathers p-norms term by term in 200 bits.
type norms struct {
	p   float64
	sum []*big.Float // of p-th powers, or the largest
}

func newNorms(p float64, n int) *norms {
	s := &norms{p, make([]*big.Float, n)}
	for i := range s.sum {
		s.sum[i] = new(big.Float).SetPrec(precision)
	}
	return s
}

func (s *norms) add(i int, x *big.Float) {
	x = new(big.Float).Abs(x)
	switch {
	case !math.IsInf(s.p, 1):
		s.sum[i].Add(s.sum[i], bigPower(x, s.p))
	case x.Cmp(s.sum[i]) > 0:
		s.sum[i] = x
	}
}

// check compares got with the norms. The sums have up to some hundred
// non-negative terms of a few roundings each (h, h^p, |w|^p, the product), and
// a factor of the row: 1e-13 of the norm's p-th power covers them for p <= 16.
func (s *norms) check(t *rapid.T, what string, got []scaled.Num) {
	s.checkEvery(t, 1, what, got)
}

// checkEvery is check of elements 0, step, 2 step ...
func (s *norms) checkEvery(t interface{ Fatalf(string, ...any) }, step int, what string, got []scaled.Num) {
	if len(got) != len(s.sum) {
		t.Fatalf("%s: %d elements, want %d", what, len(got), len(s.sum))
	}
	p := s.p
	if math.IsInf(p, 1) {
		p = 1
	}
	for i, want := range s.sum {
		if i%step != 0 {
			continue
		}
		g := bigPower(toBig(got[i]), p)
		d := new(big.Float).Sub(g, want)
		d.Abs(d)
		if d.Cmp(new(big.Float).Mul(want, big.NewFloat(1e-13))) > 0 {
			t.Fatalf("%s p=%v element %d: got^p %v, want %v", what, s.p, i, g, want)
		}
	}
}

// spread replaces every stored number by one with a random exponent.
func spread(n *dag.Network, rng *rand.Rand, bits int) *dag.Network {
	return n.Replace(func(u *dag.Use) *dag.Param {
		v := u.Param.Values()
		for i := range v {
			v[i] = math.Ldexp(v[i], rng.IntN(2*bits+1)-bits)
		}
		return u.Param.WithValues(nil, v)
	})
}

func paths(rng *rand.Rand, n, bits int) []scaled.Num {
	h := make([]scaled.Num, n)
	for i := range h {
		if rng.IntN(6) > 0 {
			h[i] = scaled.New(rng.Float64()).Scale(int64(rng.IntN(2*bits+1) - bits))
		}
	}
	return h
}

// stored calls f for every effective weight once, by the layouts that Dense
// and Conv document.
func stored(l *dag.Linear, f func(row, col int, w float64)) {
	scale := func(row int) float64 {
		if s := l.Scale(); s != nil {
			return s[row]
		}
		return 1
	}
	switch m := l.Map.(type) {
	case *dag.Dense:
		for i := range m.Rows {
			for j := range m.Cols {
				f(i, j, scale(i)*m.At(i, j))
			}
		}
	case *dag.Conv:
		k, in, out := dag.Size(m.Window.Kernel), m.InChannels/m.Groups, m.OutChannels/m.Groups
		for at := range m.W.Param.Len() {
			row, col := at/k/in, at/k/in/out*in+at/k%in // (out, in/groups, kernel)
			if m.Transposed {                           // (in, out/groups, kernel)
				row, col = at/k/out/in*out+at/k%out, at/k/out
			}
			f(row, col, scale(row)*m.W.Param.At(at))
		}
	}
}

// Sums equals the definition on single weights, for every kind of map, in both
// directions, for every p and over ranges of numbers that float64 cannot hold.
func TestSumsAgainstElements(t *testing.T) {
	kinds := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		opt := dagtest.Options{Features: dagtest.All, Zeros: 0.2, Width: 5}
		opt.Type = []dag.DType{dag.Float32, dag.Float64, dag.Float16}[rapid.IntRange(0, 2).Draw(t, "type")]
		net := dagtest.Random(t, opt)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "spread"), 9))
		weightBits, pathBits := 0, rapid.SampledFrom([]int{0, 5, 300, 5000}).Draw(t, "path bits")
		switch opt.Type {
		case dag.Float32:
			weightBits = rapid.SampledFrom([]int{0, 3, 40}).Draw(t, "weight bits")
		case dag.Float64:
			weightBits = rapid.SampledFrom([]int{0, 3, 200}).Draw(t, "weight bits")
		}
		net = spread(net, rng, weightBits)
		// Which loops run depends on what is asked for together.
		orders := rapid.SampledFrom([][]float64{
			{1, 1.5, 2, 3, 16, math.Inf(1)}, {1, 2, math.Inf(1)}, {1}, {2}, {3}, {math.Inf(1)}, {1.5, 2},
		}).Draw(t, "orders")
		for i := range net.Nodes {
			l, ok := net.Nodes[i].Op.(*dag.Linear)
			if !ok || l.Map == nil {
				continue
			}
			kinds[fmt.Sprintf("%T", l.Map)]++
			in, out := l.Map.In(), l.Out()
			q := sums.Request{
				From: full(in.Len()), To: full(out.Len()),
				Powers: orders, Columns: orders, Zeros: rapid.Bool().Draw(t, "zeros"),
				Threads: rapid.IntRange(0, 3).Draw(t, "threads"),
			}
			hin, hout := paths(rng, in.Len(), pathBits), paths(rng, out.Len(), pathBits)
			for _, p := range orders {
				q.Forward = append(q.Forward, sums.Path{P: p, H: hin})
				q.Backward = append(q.Backward, sums.Path{P: p, H: hout})
			}
			got := sums.Of(l, q)
			for k, p := range orders {
				rows, cols := newNorms(p, out.N), newNorms(p, in.N)
				fwd, bwd := newNorms(p, out.Len()), newNorms(p, in.Len())
				zero, all := 0, 0
				stored(l, func(row, col int, w float64) {
					x := new(big.Float).SetPrec(precision).SetFloat64(w)
					rows.add(row, x)
					cols.add(col, x)
					all++
					if w == 0 && q.Zeros {
						zero++
					}
				})
				l.Elements(func(row, col, o, i int, w float64) {
					x := new(big.Float).SetPrec(precision).SetFloat64(w)
					fwd.add(o, new(big.Float).Mul(x, toBig(hin[i])))
					bwd.add(i, new(big.Float).Mul(x, toBig(hout[o])))
				})
				fwd.check(t, fmt.Sprintf("node %d %T forward", i, l.Map), grid.Expand(got.Value, got.Forward[k].Nums()))
				bwd.check(t, fmt.Sprintf("node %d %T backward", i, l.Map), grid.Expand(got.Operand, got.Backward[k].Nums()))
				if l.Map.Weight() != nil {
					rows.check(t, "rows", got.Rows[k])
					cols.check(t, "columns", got.Columns[k])
				}
				if got.Zeros != zero || got.Weights != all {
					t.Fatalf("%d zeros of %d weights, want %d of %d", got.Zeros, got.Weights, zero, all)
				}
			}
		}
	})
	if testing.Short() {
		return // a fifth of the networks need not have every map
	}
	for _, k := range []string{"*dag.Dense", "*dag.Conv", "*dag.Diagonal", "*dag.Average"} {
		if kinds[k] == 0 {
			t.Errorf("no %s was tested", k)
		}
	}
}

// A factor whose power underflows may meet a large weight: the term must not be
// lost though the sum of the others looks safe.
func TestSumsKeepUnderflowedFactors(t *testing.T) {
	l := &dag.Linear{Map: &dag.Dense{W: dag.Use{Param: dag.NewParam64("w", []int{1, 2}, []float64{1e-80, 1e100})}, Rows: 1, Cols: 2}}
	h := []scaled.Num{scaled.One, scaled.One.Scale(-390)}
	got := sums.Of(l, sums.Request{From: full(2), Forward: []sums.Path{{P: 3, H: h}}}).Forward[0].Nums()[0].Float64()
	// The first term's cube is 1e-187 of the second's; a few roundings remain.
	if want := math.Ldexp(1e100, -390); !(math.Abs(got-want) <= 1e-15*want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// layouts compares layouts by the cells of their elements.
var layouts = cmp.Comparer(func(a, b *grid.Layout) bool {
	same := a.Len() == b.Len()
	for e := 0; same && e < a.Len(); e++ {
		same = a.Cell(e) == b.Cell(e)
	}
	return same
})

// A matrix of many chunks of rows has the same sums, to the last bit, from any
// number of goroutines, and they are right.
func TestSumsOfManyRows(t *testing.T) {
	const rows, cols = 700, 500
	rng := rand.New(rand.NewPCG(1, 2))
	w := make([]float32, rows*cols)
	for i := range w {
		w[i] = float32(rng.NormFloat64())
	}
	factors := func(n int) []scaled.Num {
		h := make([]scaled.Num, n)
		for i := range h {
			h[i] = scaled.New(rng.ExpFloat64())
		}
		return h
	}
	orders := []float64{1, 1.5, 2, math.Inf(1)}
	for _, inOut := range []bool{false, true} {
		d := &dag.Dense{W: dag.Use{Param: dag.NewParam32("w", dag.Float32, []int{rows, cols}, w)}, Rows: rows, Cols: cols, InOut: inOut}
		if inOut {
			d.Rows, d.Cols = cols, rows
		}
		q := sums.Request{Columns: orders, Zeros: true, From: full(d.Cols), To: full(d.Rows)}
		for _, p := range orders {
			q.Forward = append(q.Forward, sums.Path{P: p, H: factors(d.Cols)})
			q.Backward = append(q.Backward, sums.Path{P: p, H: factors(d.Rows)})
		}
		l := &dag.Linear{Map: d}
		first := sums.Of(l, q)
		for k, p := range orders {
			forward, backward, columns := newNorms(p, d.Rows), newNorms(p, d.Cols), newNorms(p, d.Cols)
			// Some rows and columns of all: sums in 200 bits are slow.
			step := 97
			for i := range d.Rows {
				for j := range d.Cols {
					if i%step != 0 && j%step != 0 {
						continue
					}
					x := new(big.Float).SetPrec(precision).SetFloat64(d.At(i, j))
					if i%step == 0 {
						forward.add(i, new(big.Float).Mul(x, toBig(q.Forward[k].H[j])))
					}
					if j%step == 0 {
						backward.add(j, new(big.Float).Mul(x, toBig(q.Backward[k].H[i])))
						columns.add(j, x)
					}
				}
			}
			forward.checkEvery(t, step, "forward", first.Forward[k].Nums())
			backward.checkEvery(t, step, "backward", first.Backward[k].Nums())
			columns.checkEvery(t, step, "columns", first.Columns[k])
		}
		for _, threads := range []int{2, 3, 16} {
			q.Threads = threads
			if diff := cmp.Diff(first, sums.Of(l, q), layouts, cmp.AllowUnexported(sums.Path{})); diff != "" {
				t.Errorf("InOut %v: sums of %d goroutines differ from those of one (-one +several):\n%s", inOut, threads, diff)
			}
		}
	}
}

// full is the layout of a value each of whose elements is a cell.
func full(dims ...int) *grid.Layout {
	l := grid.Uniform(dims...)
	for k := range dims {
		l, _ = l.Spread(k)
	}
	return l
}

// TestPathsOfAWrongLength: a path that has not one number a cell is no path of the layer's, whatever its map.
func TestPathsOfAWrongLength(t *testing.T) {
	short := []sums.Path{sums.Pack(1, make([]scaled.Num, 2))}
	w := dag.Use{Param: dag.NewParam64("w", []int{3, 3}, make([]float64, 9))}
	for _, m := range []dag.Map{&dag.Diagonal{Axis: dag.Axis{Outer: 1, N: 3, Inner: 1}}, &dag.Dense{W: w, Rows: 3, Cols: 3, Outer: 1, Inner: 1}} {
		for what, q := range map[string]sums.Request{
			"forward": {Forward: short, From: grid.Uniform(3).Lead(3)}, "backward": {Backward: short, To: grid.Uniform(3).Lead(3)},
		} {
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("%T takes a %s path of 2 numbers for 3 cells", m, what)
					}
				}()
				sums.Of(&dag.Linear{Map: m}, q)
			}()
		}
	}
}
