package analysis

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/spectral"
	"github.com/relupath/relupath/analysis/internal/tail"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
)

// reading says which matrices of a convolution a spectrum is of.
type reading uint8

const (
	// positions has one matrix for each kernel position, channels by channels, their
	// eigenvalues together and halved: weightwatcher's.
	positions reading = iota
	// flattened has W, as all other measures.
	flattened
	readings
)

// suffix is what the names of measures end in.
func (k reading) suffix() string { return [...]string{"", "_flattened"}[k] }

// words say how convolutions are read.
func (k reading) words() string {
	return [...]string{"kernel positions apart", "kernels flattened"}[k]
}

// spectrum describes the eigenvalues of a layer.
type spectrum struct {
	// values are in increasing order; reason says why there are none.
	values []float64
	reason string
	// rows >= cols is the size of each matrix.
	rows, cols int
	fit        tail.Fit
	fitted     bool
	bulk       tail.Bulk
	bulky      bool
}

// tailEntries are the measures of the tails of spectra.
func tailEntries() []*entry {
	var out []*entry
	for k := range readings {
		out = append(out, tailEntriesOf(k)...)
	}
	return out
}

func tailEntriesOf(k reading) []*entry {
	add := func(name, formula, latex, source, unit string, value func(s *spectrum) (float64, bool)) *entry {
		return &entry{
			tail: k == positions,
			Info: Info{
				Name: name + k.suffix(), Formula: formula + "; " + k.words() + "; whole net: the mean over layers", LaTeX: latex,
				Source: source, Unit: unit, Cost: AllSingular, Scope: OfBoth,
			},
			net: func(r *run) []Measure {
				var sum float64
				var n int
				for i := range r.layers {
					if x, ok := value(&r.spectra(k)[i]); ok {
						sum, n = sum+x, n+1
					}
				}
				if n == 0 {
					return []Measure{{Value: scaled.New(math.NaN()), Reason: "no layer has it"}}
				}
				return one(scaled.New(sum / float64(n)))
			},
			layer: func(r *run, l *layer) []Measure {
				s := &r.spectra(k)[slices.Index(r.layers, l)]
				x, ok := value(s)
				switch {
				case ok:
					return one(scaled.New(x))
				case s.reason != "":
					return []Measure{{Value: scaled.New(math.NaN()), Reason: s.reason}}
				}
				return []Measure{{Value: scaled.New(math.NaN()), Reason: "no law fits the eigenvalues"}}
			},
		}
	}
	fit := func(f func(s *spectrum) float64) func(*spectrum) (float64, bool) {
		return func(s *spectrum) (float64, bool) {
			if !s.fitted {
				return 0, false
			}
			return f(s), true
		}
	}
	bulk := func(f func(b *tail.Bulk) float64) func(*spectrum) (float64, bool) {
		return func(s *spectrum) (float64, bool) { return f(&s.bulk), s.bulky }
	}
	largest := func(s *spectrum) float64 { return s.values[len(s.values)-1] }
	out := []*entry{
		add("alpha", "the power law lambda^-alpha fitted to the largest eigenvalues lambda of W^T W", `\alpha`, mm21, "pure",
			fit(func(s *spectrum) float64 { return s.fit.Alpha })),
		add("alpha_weighted", "alpha log10 lambda_max", `\alpha\log_{10}\lambda_{\max}`, mpm21, "log",
			fit(func(s *spectrum) float64 { return s.fit.Alpha * math.Log10(largest(s)) })),
		add("log_alpha_norm", "log10 sum_i lambda_i^alpha", `\log_{10}\sum_i\lambda_i^\alpha`, mpm21, "log",
			fit(func(s *spectrum) float64 { return logPowers(s.values, s.fit.Alpha) })),
		add("log_spectral_norm", "log10 lambda_max", `\log_{10}\lambda_{\max}`, mpm21, "log",
			func(s *spectrum) (float64, bool) {
				return orNothing(s, func() float64 { return math.Log10(largest(s)) })
			}),
		add("alpha_xmin", "the eigenvalue at which the power law begins", `x_{\min}`, csn09, "norm squared",
			fit(func(s *spectrum) float64 { return s.fit.XMin })),
		add("alpha_distance", "D, the Kolmogorov-Smirnov distance of the power law to the eigenvalues from alpha_xmin on", `D`, csn09, "pure",
			fit(func(s *spectrum) float64 { return s.fit.D })),
		add("alpha_tail", "number of eigenvalues from alpha_xmin on", `n_{\mathrm{tail}}`, mm21, "count",
			fit(func(s *spectrum) float64 { return float64(s.fit.Tail) })),
		add("mp_spikes", "number of eigenvalues above mp_edge and its fluctuations", `n_{\mathrm{spikes}}`, mm21, "count",
			bulk(func(b *tail.Bulk) float64 { return float64(b.Spikes) })),
		add("mp_edge", "upper edge of the Marchenko-Pastur law fitted to the eigenvalues", `\lambda_+`, mm21, "norm squared",
			bulk(func(b *tail.Bulk) float64 { return b.Edge })),
		add("mp_softrank", "mp_edge / lambda_max", `\lambda_+/\lambda_{\max}`, mm21, "pure",
			bulk(func(b *tail.Bulk) float64 { return b.SoftRank })),
	}
	if k == positions {
		out = append(out, add("esd_stable_rank", "sum_i lambda_i / lambda_max", `\sum_i\lambda_i/\lambda_{\max}`, mm21, "pure",
			func(s *spectrum) (float64, bool) {
				return orNothing(s, func() float64 {
					var sum float64
					for _, x := range s.values {
						sum += x
					}
					return sum / largest(s)
				})
			}))
	}
	return out
}

// orNothing is f of a spectrum that has eigenvalues other than zero.
func orNothing(s *spectrum, f func() float64) (float64, bool) {
	if n := len(s.values); s.reason != "" || n == 0 || !(s.values[n-1] > 0) {
		return 0, false
	}
	return f(), true
}

// logPowers is log10 sum_i x_i^a of numbers in increasing order.
func logPowers(x []float64, a float64) float64 {
	top := x[len(x)-1]
	var sum float64
	for _, v := range x {
		sum += math.Pow(v/top, a)
	}
	return a*math.Log10(top) + math.Log10(sum)
}

// spectra are those of all layers, computed when they are first asked for.
func (r *run) spectra(k reading) []spectrum {
	if r.memo.spectra[k] == nil {
		r.memo.spectra[k] = r.describe(k)
	}
	return r.memo.spectra[k]
}

// described are the spectra of one layer that measures were computed from.
func (r *run) described(layer int) []Spectrum {
	var out []Spectrum
	for k, all := range r.memo.spectra {
		if all == nil || all[layer].reason != "" {
			continue
		}
		s := &all[layer]
		d := Spectrum{Flattened: reading(k) == flattened, Eigenvalues: s.values}
		if s.fitted {
			d.Alpha, d.XMin, d.Tail = s.fit.Alpha, s.fit.XMin, s.fit.Tail
		}
		if s.bulky {
			d.Edge, d.Spikes = s.bulk.Edge, s.bulk.Spikes
		}
		out = append(out, d)
	}
	return out
}

// piece is one matrix whose eigenvalues are part of a layer's.
type piece struct {
	layer, at int
	m         spectral.Matrix
	done      func()
}

// describe computes the spectra of all layers, several matrices at a time: what comes
// out does not depend on how many.
func (r *run) describe(k reading) []spectrum {
	out := make([]spectrum, len(r.layers))
	var pieces []piece
	for i, l := range r.layers {
		ms := l.op.Matrices()
		if ms == nil {
			out[i].reason = "the layer is diagonal or fixed, and has no matrix with a spectrum"
			continue
		}
		var own []piece
		if _, conv := l.op.Map.(*dag.Conv); conv && k == positions && (len(ms) > 1 || ms[0].Kernel > 1) {
			own = kernelPositions(ms)
		} else {
			for _, m := range ms {
				own = append(own, piece{m: matrixOf(m.Flip())})
			}
		}
		rows, cols := own[0].m.Rows, own[0].m.Cols
		s := &out[i]
		s.rows, s.cols = max(rows, cols), min(rows, cols)
		n := len(own) * s.cols
		if n < tail.Fewest {
			s.reason = fmt.Sprintf("%s, and a spectrum is described from %d on", words.Count(n, "eigenvalue"), tail.Fewest)
			continue
		}
		s.values = make([]float64, n)
		for at := range own {
			own[at].layer, own[at].at = i, at*s.cols
		}
		pieces = append(pieces, own...)
	}
	// The largest first; those of one layer stay together.
	slices.SortStableFunc(pieces, func(a, b piece) int {
		return cmp.Compare(out[b.layer].cols, out[a.layer].cols)
	})
	threads := max(r.opt.Threads, 1)
	each := func(n int, f func(i int)) {
		var next atomic.Int32
		kernel.Parallel(threads, threads, 1, func(_, _ int) {
			for i := int(next.Add(1)) - 1; i < n && r.ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	// Two of a size are iterated together.
	var groups [][]piece
	for len(pieces) > 0 {
		n := 1
		if len(pieces) > 1 && out[pieces[0].layer].cols == out[pieces[1].layer].cols {
			n = 2
		}
		groups, pieces = append(groups, pieces[:n]), pieces[n:]
	}
	each(len(groups), func(i int) {
		group := groups[i]
		floors := lists.Map(group, func(p piece) float64 { return tail.Least / out[p.layer].half(k, r.layers[p.layer]) })
		ms := lists.Map(group, func(p piece) spectral.Matrix { return p.m })
		for at, values := range spectral.Squares(blas.Find(), floors, ms...) {
			p := &group[at]
			copy(out[p.layer].values[p.at:], values)
			if p.done != nil {
				p.done()
			}
		}
	})
	each(len(out), func(i int) {
		if s := &out[i]; s.reason == "" {
			s.finish(s.half(k, r.layers[i]))
		}
	})
	return out
}

// half is the factor of eigenvalues: weightwatcher multiplies the weights of a
// convolution by sqrt(1/2).
func (s *spectrum) half(k reading, l *layer) float64 {
	if _, conv := l.op.Map.(*dag.Conv); conv && k == positions {
		return 0.5
	}
	return 1
}

// finish fits the laws.
func (s *spectrum) finish(factor float64) {
	for i := range s.values {
		s.values[i] *= factor
	}
	slices.Sort(s.values) // NaN first
	if s.values[0] != s.values[0] {
		s.reason = "NaN or Inf in the weights, or an iteration without convergence"
		return
	}
	s.fit, s.fitted = tail.PowerLaw(s.values)
	s.bulk, s.bulky = tail.MarchenkoPastur(s.values, s.rows, s.cols)
}

// kernelPositions are the matrices of a convolution at each position of its kernel, those of
// its groups below each other as they are stored. The weights are in memory from the
// first of them to the last.
func kernelPositions(ms []dag.Matrix) []piece {
	m := ms[0]
	rows, cols := m.Rows, m.Cols/m.Kernel
	if m.Turned {
		rows, cols = cols, rows
	}
	size := rows * len(ms) * cols
	var load sync.Once
	var data []float64
	var left atomic.Int32
	left.Store(int32(m.Kernel))
	read := func() {
		data = make([]float64, m.Kernel*size)
		buf := make([]float64, m.Cols)
		for g := range ms {
			for i := range m.Rows {
				ms[g].ReadRows(buf, i, i+1)
				// Input i of a turned matrix is a column.
				first, step := (g*rows+i)*cols, 1
				if m.Turned {
					first, step = g*rows*cols+i, cols
				}
				for t := range m.Kernel {
					at := t*size + first
					for j := t; j < len(buf); j += m.Kernel {
						data[at] = buf[j]
						at += step
					}
				}
			}
		}
	}
	out := make([]piece, m.Kernel)
	for t := range out {
		out[t].m = spectral.Matrix{Rows: rows * len(ms), Cols: cols, Read: func(dst []float64, lo, hi int) {
			load.Do(read)
			copy(dst, data[t*size+lo*cols:t*size+hi*cols])
		}}
		out[t].done = func() {
			if left.Add(-1) == 0 {
				data = nil
			}
		}
	}
	return out
}
