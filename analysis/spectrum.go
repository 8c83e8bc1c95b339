package analysis

import (
	"cmp"
	"math"
	"slices"
	"sync"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/spectral"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/internal/lists"
)

// spectralEntries are the measures of singular values.
func spectralEntries() []*entry {
	return []*entry{
		{
			Info: Info{
				Name:    "spectral",
				Formula: "sigma_1(W), the largest singular value; relative error at most 1e-8 (block Lanczos)",
				LaTeX:   `\sigma_1(W)`, Source: la, Unit: "norm", Cost: Spectral, Scope: OfLayer,
			},
			rows:  []float64{math.Inf(1)},
			layer: func(r *run, l *layer) []Measure { return one(r.spectral(l)) },
		},
		{
			Info: Info{
				Name: "stable_rank", Formula: "||W||_F^2 / sigma_1(W)^2", LaTeX: `\lVert W\rVert_F^2/\sigma_1(W)^2`,
				Source: rv07, Unit: "pure", Cost: Spectral, Scope: OfLayer,
			},
			rows: []float64{2, math.Inf(1)},
			layer: func(r *run, l *layer) []Measure {
				return one(r.frobenius(l).Div(r.spectral(l)).Pow(2))
			},
		},
		{
			Info: Info{
				Name: "nuclear", Formula: "sum_i sigma_i(W)", LaTeX: `\sum_i\sigma_i(W)`,
				Source: la, Unit: "norm", Cost: AllSingular, Scope: OfLayer,
			},
			rows:  []float64{math.Inf(1)},
			layer: func(r *run, l *layer) []Measure { return one(scaled.Norm(r.singular(l), 1)) },
		},
		{
			Info: Info{
				Name: "schatten", Params: []string{"p"},
				Formula: "(sum_i sigma_i(W)^p)^(1/p); p = inf: sigma_1(W); whole net: over the singular values of all layers",
				LaTeX:   `\Bigl(\sum_i\sigma_i(W)^p\Bigr)^{1/p}`, Source: b97, Unit: "norm", Cost: AllSingular, Scope: OfBoth,
			},
			rows: []float64{math.Inf(1)}, asked: true, overMargin: linear,
			net: func(r *run) []Measure {
				return r.schatten(func(p float64) scaled.Num {
					return scaled.Norm(r.each(func(l *layer) scaled.Num { return scaled.Norm(r.singular(l), p) }), p)
				})
			},
			layer: func(r *run, l *layer) []Measure {
				return r.schatten(func(p float64) scaled.Num { return scaled.Norm(r.singular(l), p) })
			},
		},
		{
			Info: Info{
				Name: "product_schatten", Params: []string{"p"},
				Formula: "prod_l (sum_i sigma_i(W_l)^p)^(1/p)",
				LaTeX:   `\prod_l\lVert W_l\rVert_{S_p}`, Source: b97, Unit: "norm", Cost: AllSingular, Scope: OfNet,
			},
			rows: []float64{math.Inf(1)}, asked: true, overMargin: linear,
			net: func(r *run) []Measure {
				return r.schatten(func(p float64) scaled.Num {
					return r.product(func(l *layer) scaled.Num { return scaled.Norm(r.singular(l), p) })
				})
			},
		},
		{
			Info: Info{
				Name: "product_spectral", Formula: "prod_l sigma_1(W_l)", LaTeX: `\prod_l\sigma_1(W_l)`,
				Source: b17, Unit: "norm", Cost: Spectral, Scope: OfNet,
			},
			rows: []float64{math.Inf(1)}, overMargin: linear,
			net: func(r *run) []Measure { return one(r.product(r.spectral)) },
		},
		{
			Info: Info{
				Name: "sum_log_spectral_squared", Formula: "sum_l ln sigma_1(W_l)^2", LaTeX: `\sum_l\ln\sigma_1(W_l)^2`,
				Source: j20 + " (log-prod-of-spec)", Unit: "log", Cost: Spectral, Scope: OfNet,
			},
			rows: []float64{math.Inf(1)}, overMargin: logarithm,
			net: func(r *run) []Measure { return one(r.sumLog(r.spectral)) },
		},
		{
			Info: Info{
				Name: "sum_of_spectral", Formula: "d (prod_l sigma_1(W_l)^2)^(1/d)",
				LaTeX:  `d\,\bigl(\prod_l\sigma_1(W_l)^2\bigr)^{1/d}`,
				Source: j20 + " (sum-of-spec)", Unit: "norm squared", Cost: Spectral, Scope: OfNet,
			},
			rows: []float64{math.Inf(1)}, overMargin: rooted,
			net: func(r *run) []Measure { return one(r.geometric(r.spectral)) },
		},
		{
			Info: Info{
				Name: "fro_over_spec", Formula: "sum_l ||W_l||_F^2 / sigma_1(W_l)^2",
				LaTeX:  `\sum_l\lVert W_l\rVert_F^2/\sigma_1(W_l)^2`,
				Source: j20, Unit: "pure", Cost: Spectral, Scope: OfNet,
			},
			rows: []float64{2, math.Inf(1)}, overMargin: squared,
			net: func(r *run) []Measure { return one(r.froOverSpec(r.frobenius)) },
		},
		{
			Info: Info{
				Name: "spec_orig", Formula: "prod_l sigma_1(W_l)^2 * sum_l ||W_l||_F^2 / sigma_1(W_l)^2",
				LaTeX:  `\prod_l\sigma_1(W_l)^2\sum_l\lVert W_l\rVert_F^2/\sigma_1(W_l)^2`,
				Source: j20 + " (spec-orig)", Unit: "norm squared", Cost: Spectral, Scope: OfNet,
			},
			rows: []float64{2, math.Inf(1)}, overMargin: squared,
			net: func(r *run) []Measure {
				return one(r.product(r.spectral).Pow(2).Mul(r.froOverSpec(r.frobenius)))
			},
		},
	}
}

// froOverSpec is sum_l f_l^2 / sigma_l^2.
func (r *run) froOverSpec(f func(*layer) scaled.Num) scaled.Num {
	return r.sum(func(l *layer) scaled.Num { return f(l).Div(r.spectral(l)).Pow(2) })
}

// spectral is sigma_1 of a layer's effective matrix: the largest over its
// blocks. The first call finds that of all layers.
func (r *run) spectral(l *layer) scaled.Num {
	if l.sigma == nil {
		r.everyLayer("spectral norms", func(m dag.Matrix) int { return m.Rows * m.Cols }, func(l *layer, size scaled.Num, threads int) error {
			x, err := r.largest(blocks(l.op), size, threads)
			if _, ok := l.op.Map.(*dag.Diagonal); ok {
				x = size
			}
			if l.sigma == nil {
				l.sigma = &x
			}
			return err
		})
	}
	return *l.sigma
}

// schatten is a norm of singular values for each order of Options.P.
func (r *run) schatten(f func(p float64) scaled.Num) []Measure {
	return lists.Map(r.opt.P, func(p float64) Measure { return Measure{P: order(p), Value: f(p)} })
}

// singular are all singular values of a layer's matrix; sigma_1 comes with them. The first
// call finds those of all layers.
func (r *run) singular(l *layer) []scaled.Num {
	if l.values == nil {
		cost := func(m dag.Matrix) int { return m.Rows * m.Cols * min(m.Rows, m.Cols) }
		r.everyLayer("singular values", cost, func(l *layer, size scaled.Num, _ int) error {
			l.values = r.singularValues(l, size)
			top := scaled.Norm(l.values, math.Inf(1))
			l.sigma = &top
			return nil
		})
	}
	return l.values
}

// singularValues returns all singular values of a layer's matrix whose largest entry is size.
func (r *run) singularValues(l *layer, size scaled.Num) []scaled.Num {
	out := []scaled.Num{}
	if _, ok := l.op.Map.(*dag.Diagonal); ok {
		out = append(out, r.rows(l.index, math.Inf(1))...)
	}
	for _, m := range blocks(l.op) {
		if r.ctx.Err() != nil {
			break
		}
		shrunk, exp := normalized(m, size)
		for _, s := range spectral.Values(shrunk, blas.Find()) {
			out = append(out, scaled.New(s).Scale(exp))
		}
	}
	return out
}

// everyLayer calls f for each layer, which computes from the layer's matrix, whose
// largest entry is size, and changes the layer alone. Layers that are large beside the
// others come first, with all threads each; the others share the threads, one each.
func (r *run) everyLayer(stage string, cost func(m dag.Matrix) int, f func(l *layer, size scaled.Num, threads int) error) {
	layers := slices.Clone(r.layers)
	sizes, costs, total := map[*layer]scaled.Num{}, map[*layer]int{}, 0
	for _, l := range layers {
		sizes[l] = r.maxAbs(l)
		for _, m := range l.op.Matrices() {
			costs[l] += cost(m)
		}
		total += costs[l]
	}
	slices.SortStableFunc(layers, func(a, b *layer) int { return cmp.Compare(costs[b], costs[a]) })
	large, rest := 0, total
	for large < len(layers) && costs[layers[large]]*r.opt.Threads > rest {
		rest -= costs[layers[large]]
		large++
	}
	var mu sync.Mutex
	done := 0
	one := func(l *layer, threads int) {
		err := f(l, sizes[l], threads)
		mu.Lock()
		defer mu.Unlock()
		if r.err == nil {
			r.err = err
		}
		done += costs[l]
		r.tell(stage, done, total)
	}
	r.tell(stage, 0, total)
	for _, l := range layers[:large] {
		one(l, r.opt.Threads)
	}
	kernel.InTurn(len(layers)-large, r.opt.Threads, 1, func(take func() (int, int)) {
		for lo, hi := take(); lo < hi; lo, hi = take() {
			one(layers[large+lo], 1)
		}
	})
}

// largest is the largest singular value over blocks whose largest entry is
// size.
func (r *run) largest(ms []spectral.Matrix, size scaled.Num, threads int) (top scaled.Num, err error) {
	for _, m := range ms {
		shrunk, exp := normalized(m, size)
		res, err := spectral.Norm(r.ctx, shrunk, spectral.Options{Seed: r.opt.Seed, Threads: threads})
		if err != nil {
			return top, err
		}
		top = scaled.Max(top, scaled.New(res.Sigma).Scale(exp))
	}
	return top, nil
}

// blocks returns a layer's matrix, each block in the order in which it is
// stored: transposed where the weights lie in x out.
func blocks(l *dag.Linear) []spectral.Matrix {
	return lists.Map(l.Matrices(), func(m dag.Matrix) spectral.Matrix { return matrixOf(m.Flip()) })
}

func matrixOf(m dag.Matrix) spectral.Matrix {
	return spectral.Matrix{Rows: m.Rows, Cols: m.Cols, Read: m.ReadRows, Single: m.Float32s()}
}

// tileRows is the number of rows of a matrix that are read at a time.
func tileRows(m *spectral.Matrix) int { return max(1, min(m.Rows, (1<<16)/max(m.Cols, 1))) }

// tiles reads a matrix once, tile by tile of rows.
func tiles(m *spectral.Matrix, f func(tile []float64, lo, hi int)) {
	step := tileRows(m)
	buf := make([]float64, step*m.Cols)
	for lo := 0; lo < m.Rows; lo += step {
		hi := min(lo+step, m.Rows)
		t := buf[:(hi-lo)*m.Cols]
		m.Read(t, lo, hi)
		f(t, lo, hi)
	}
}

// normalized returns a matrix times 2^-exp when size, its largest entry, is so
// large or small that squares would leave float64.
func normalized(m spectral.Matrix, size scaled.Num) (out spectral.Matrix, exp int64) {
	const moderate = 200
	if !size.IsFinite() || size.IsZero() || (size.Exp > -moderate && size.Exp < moderate) {
		return m, 0
	}
	return spectral.Matrix{Rows: m.Rows, Cols: m.Cols, Read: func(dst []float64, lo, hi int) {
		m.Read(dst, lo, hi)
		for i, w := range dst {
			dst[i] = scaled.New(w).Scale(-size.Exp).Float64()
		}
	}}, size.Exp
}

// difference is A - B of matrices of one size.
func difference(a, b spectral.Matrix, threads int) spectral.Matrix {
	var pool sync.Pool
	return spectral.Matrix{Rows: a.Rows, Cols: a.Cols, Read: func(dst []float64, lo, hi int) {
		buf, _ := pool.Get().(*[]float64)
		if buf == nil || len(*buf) < len(dst) {
			fresh := make([]float64, len(dst))
			buf = &fresh
		}
		other := (*buf)[:len(dst)]
		a.Read(dst, lo, hi)
		b.Read(other, lo, hi)
		kernel.Parallel(len(dst), threads, 1<<15, func(lo, hi int) {
			for i, w := range other[lo:hi] {
				dst[lo+i] -= w
			}
		})
		pool.Put(buf)
	}}
}
