package sums

import (
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/internal/grid"
	"github.com/relupath/relupath/analysis/kernel"
)

// Products in the tiles of kernel.Tiles go by blocks of so many terms: rows of weights, raised for each order, lie in
// the second-level cache, a panel of what they are multiplied by in the first. What there is less of, rows
// or places, is made for all tasks at once, so many numbers at a time; each task makes the other as it goes.
const (
	leastRows, mostRows = 16, 128
	tiledTerms          = 192
	// tiledTasks is the number of tasks that goroutines take in turn where there is work for them, and
	// fewPanels the least number of panels of a task that has not all: weights are read and raised for each.
	tiledTasks, fewPanels = 16, 4
)

var tiledRoom = 1 << 19 // changed in tests

// tiling is a product of all rows of weights with what the taps read, for some orders, in tiles of pr x pc numbers.
type tiling[T kernel.Float] struct {
	*convMatrix[T]
	win    *grid.Windowed
	ps     []*programme[T]
	pr, pc int
	// reads has for each panel of places and each tap which numbers of a channel it reads, -1 for none; nil where each place reads
	// its own.
	reads []int32
}

// tiled multiplies for some orders: see toRows. The split depends on the extents alone.
func (m *convMatrix[T]) tiled(win *grid.Windowed, ps []*programme[T]) {
	if len(ps) == 0 {
		return
	}
	t := &tiling[T]{convMatrix: m, win: win, ps: ps}
	t.pr, t.pc = kernel.TileSize()
	if !win.Direct() {
		t.reads = t.readsOf()
	}
	if m.outer < win.Places && len(ps)*m.rows*m.cols <= tiledRoom {
		t.byPlaces()
	} else {
		t.byRows()
	}
}

// byPlaces raises the weights, and then makes one panel of places after the other.
func (t *tiling[T]) byPlaces() {
	high := (t.outer + t.pr - 1) / t.pr * t.pr
	left := gathered.room(len(t.ps) * t.c.Groups * high * t.cols)
	defer gathered.Put(left)
	blocks := (t.outer + leastRows - 1) / leastRows
	kernel.Parallel(t.c.Groups*blocks, t.threads, 1+1<<13/(leastRows*t.cols), func(lo, hi int) {
		for ; lo < hi; lo++ {
			g, a := lo/blocks, lo%blocks*leastRows
			rows := min(leastRows, t.outer-a)
			for k0 := 0; k0 < t.cols; k0 += tiledTerms {
				k := min(tiledTerms, t.cols-k0)
				for q, r := range t.ps {
					r.panels((*left)[(q*t.c.Groups+g)*high*t.cols+high*k0+a*k:], t.w[(g*t.outer+a)*t.cols+k0:], rows, k, t.pr)
				}
			}
		}
	})
	panels := (t.win.Places + t.pc - 1) / t.pc
	grain := 1 + 1<<14/(t.outer*t.cols*t.pc)
	kernel.InTurn(len(t.ps)*t.c.Groups*panels, t.threads, grain, func(take func() (int, int)) {
		room := scratch.room((tiledTerms + t.pr) * t.pc)
		defer scratch.Put(room)
		tile, right := (*room)[:t.pr*t.pc], (*room)[t.pr*t.pc:]
		for lo, hi := take(); lo < hi; lo, hi = take() {
			for ; lo < hi; lo++ {
				q, g, j := lo/panels/t.c.Groups, lo/panels%t.c.Groups, lo%panels
				for k0 := 0; k0 < t.cols; k0 += tiledTerms {
					k := min(tiledTerms, t.cols-k0)
					t.gather(right, t.ps[q], g, j, k0, k)
					t.multiply(t.ps[q], g, 0, t.outer, (*left)[(q*t.c.Groups+g)*high*t.cols+high*k0:], right, j, k0, k, tile)
				}
			}
		}
	})
}

// byRows makes all panels of places, or as many as there is room for, and then raises some rows of weights
// after the other, for all orders in one read.
func (t *tiling[T]) byRows() {
	parts := len(t.ps) * t.c.Groups
	all := (t.win.Places + t.pc - 1) / t.pc
	most := min(all, max(1, tiledRoom/(parts*t.cols*t.pc)))
	right := gathered.room(parts * most * t.pc * t.cols)
	defer gathered.Put(right)
	height := min(mostRows, max(leastRows, (t.outer/tiledTasks+t.pr-1)/t.pr*t.pr))
	blocks := (t.outer + height - 1) / height
	for first := 0; first < all; first += most {
		here := min(most, all-first)
		at := func(q, g, j, k0 int) []float64 {
			return (*right)[((q*t.c.Groups+g)*here+j-first)*t.pc*t.cols+k0*t.pc:]
		}
		kernel.Parallel(parts*here, t.threads, 1+1<<12/(t.cols*t.pc), func(lo, hi int) {
			for ; lo < hi; lo++ {
				q, g, j := lo/here/t.c.Groups, lo/here%t.c.Groups, first+lo%here
				t.gather(at(q, g, j, 0), t.ps[q], g, j, 0, t.cols)
			}
		})
		splits := max(1, min(here/fewPanels, tiledTasks/(t.c.Groups*blocks)))
		kernel.InTurn(t.c.Groups*blocks*splits, t.threads, 1, func(take func() (int, int)) {
			room := scratch.room(height*tiledTerms + t.pr*t.pc)
			defer scratch.Put(room)
			tile, left := (*room)[:t.pr*t.pc], (*room)[t.pr*t.pc:]
			for lo, hi := take(); lo < hi; lo, hi = take() {
				g, a := lo/splits/blocks, lo/splits%blocks*height
				rows := min(height, t.outer-a)
				for k0 := 0; k0 < t.cols; k0 += tiledTerms {
					k := min(tiledTerms, t.cols-k0)
					for q, r := range t.ps {
						r.panels(left, t.w[(g*t.outer+a)*t.cols+k0:], rows, k, t.pr)
						for j := first + lo%splits*here/splits; j < first+(lo%splits+1)*here/splits; j++ {
							t.multiply(r, g, a, rows, left, at(q, g, j, k0), j, k0, k, tile)
						}
					}
				}
			}
		})
	}
}

// multiply adds k terms from k0 on to the sums of n rows of a group from a on, at the places of panel j.
func (t *tiling[T]) multiply(r *programme[T], g, a, n int, left, right []float64, j, k0, k int, room []float64) {
	p := kernel.Part{Rows: n, Cols: min(t.pc, t.win.Places-j*t.pc), Largest: math.IsInf(r.P, 1), Mode: kernel.Accumulate}
	if k0 == 0 {
		p.Mode = kernel.Overwrite
	}
	kernel.TilesOf(p, r.sum[(g*t.outer+a)*t.win.Places+j*t.pc:], t.win.Places, left, k*t.pr, right, k, room)
}

// gather writes k rows of panel j from row k0 on: what each tap reads of each channel of a group. What is left of
// the last panel may have any value.
func (t *tiling[T]) gather(dst []float64, r *programme[T], g, j, k0, k int) {
	x := r.h[g*t.inner*t.win.Sources:]
	for l := range k {
		channel, tap := (k0+l)/t.taps, (k0+l)%t.taps
		src, to := x[channel*t.win.Sources:][:t.win.Sources], dst[l*t.pc:][:t.pc]
		if t.reads == nil {
			copy(to, src[j*t.pc:])
		} else {
			kernel.Gather(to, src, t.reads[(j*t.taps+tap)*t.pc:])
		}
	}
}

// readsOf returns reads.
func (t *tiling[T]) readsOf() []int32 {
	row := t.taps * t.pc
	out := slices.Repeat([]int32{-1}, (t.win.Places+t.pc-1)/t.pc*row)
	for k, tap := range t.win.Taps {
		for i, src := range tap.Source {
			p := tap.First + i
			out[p/t.pc*row+k*t.pc+p%t.pc] = src
		}
	}
	return out
}

// panels writes n rows of weights raised to p, k of each, to panels of some rows: term l of row i lies at
// l*height+i. What is left of the last panel may have any value.
func (r *programme[T]) panels(dst []float64, w []T, n, k, height int) {
	if r.plain && (r.P == 1 || r.P == 2 || math.IsInf(r.P, 1)) {
		power := kernel.Magnitude
		if r.P == 2 {
			power = kernel.Square
		}
		kernel.PanelRows(dst, height, k, w, r.cols, n, k, power)
		return
	}
	raised := scratch.room(k)
	defer scratch.Put(raised)
	for i := range n {
		r.weights(*raised, w[i*r.cols:][:k])
		kernel.PanelRows(dst[i/height*height*k+i%height:], height, k, *raised, k, 1, k, kernel.Same)
	}
}
