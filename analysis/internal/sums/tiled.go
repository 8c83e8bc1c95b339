package sums

import (
	"math"

	"github.com/relupath/relupath/analysis/internal/grid"
	"github.com/relupath/relupath/analysis/kernel"
)

// Products in the tiles of kernel.Tiles go by blocks: so many rows of weights, raised, by so many terms lie in
// the second-level cache, a panel of what they are multiplied by in the first. What the taps
// read is gathered for so many numbers at a time, and no more are written.
const (
	tiledRows  = 128
	tiledTerms = 192
	tiledRoom  = 1 << 19
	// tiledTasks is the least number of tasks that goroutines take in turn.
	tiledTasks = 16
)

// tiled multiplies for some orders: see toRows. The split depends on the extents alone.
func (m *convMatrix[T]) tiled(win *grid.Windowed, ps []*programme[T]) {
	if len(ps) == 0 {
		return
	}
	direct := win.Direct()
	pr, pc := kernel.TileSize()
	parts := len(ps) * m.c.Groups
	high := (m.outer + pr - 1) / pr * pr
	panels := min((win.Places+pc-1)/pc, max(1, tiledRoom/(parts*max(m.cols, high)*pc)))
	right, out := gathered.room(parts*panels*pc*m.cols), products.room(parts*panels*pc*high)
	defer gathered.Put(right)
	defer products.Put(out)
	blocks := (m.outer + tiledRows - 1) / tiledRows
	for first := 0; first < win.Places; first += panels * pc {
		b := block{first, min(panels*pc, win.Places-first)}
		here := (b.n + pc - 1) / pc
		stride := here * pc
		var taps []reads
		if !direct {
			taps = readsOf(win, b, m.cols*pc, pc)
		}
		kernel.Parallel(parts*m.inner, m.threads, 1+1<<12/(m.taps*b.n), func(lo, hi int) {
			for t := lo; t < hi; t++ {
				q, channel := t/m.inner, t%m.inner
				r, g := ps[q/m.c.Groups], q%m.c.Groups
				x := r.h[(g*m.inner+channel)*win.Sources:][:win.Sources]
				dst := (*right)[q*stride*m.cols+channel*m.taps*pc:]
				if direct {
					copyPanels(dst, x[b.first:][:b.n], m.cols*pc, pc)
				} else {
					gatherPanels(dst, x, taps)
				}
			}
		})
		splits := max(1, min(here, tiledTasks/(parts*blocks)))
		kernel.InTurn(parts*blocks*splits, m.threads, 1, func(take func() (int, int)) {
			left := scratch.room(tiledRows * tiledTerms)
			defer scratch.Put(left)
			for lo, hi := take(); lo < hi; lo, hi = take() {
				q, a := lo/splits/blocks, lo/splits%blocks*tiledRows
				r, g := ps[q/m.c.Groups], q%m.c.Groups
				rows := min(tiledRows, m.outer-a)
				from, to := lo%splits*here/splits, (lo%splits+1)*here/splits
				mode := kernel.Overwrite
				for k0 := 0; k0 < m.cols; k0 += tiledTerms {
					k := min(tiledTerms, m.cols-k0)
					r.panels(*left, m.w[(g*m.outer+a)*m.cols+k0:], rows, k, pr)
					for j := from; j < to; j++ {
						c, b := (*out)[(q*high+a)*stride+j*pc:], (*right)[(q*here+j)*pc*m.cols+k0*pc:]
						if n := (rows + pr - 1) / pr; math.IsInf(r.P, 1) {
							kernel.TilesMax(c, stride, *left, k*pr, n, b, k, mode)
						} else {
							kernel.Tiles(c, stride, *left, k*pr, n, b, k, mode, nil)
						}
					}
					mode = kernel.Accumulate
				}
			}
		})
		kernel.Parallel(parts*m.outer, m.threads, 1+1<<14/b.n, func(lo, hi int) {
			for t := lo; t < hi; t++ {
				q, a := t/m.outer, t%m.outer
				copy(ps[q/m.c.Groups].sum[(q%m.c.Groups*m.outer+a)*win.Places+first:][:b.n], (*out)[(q*high+a)*stride:])
			}
		})
	}
}

// copyPanels writes a row to panels of width places, which lie step apart. What is left of the last one
// may have any value.
func copyPanels(dst, x []float64, step, width int) {
	for p := 0; p < len(x); p += width {
		copy(dst[p/width*step:][:width], x[p:])
	}
}

// reads are what one tap reads of a channel, by pieces that lie together in it and in a panel, and
// the pieces that are outside it.
type reads struct{ moves, zeros []kernel.Move }

// readsOf returns what each tap reads at some places, for panels of width places that lie step apart: a row
// of each panel is a tap's.
func readsOf(win *grid.Windowed, b block, step, width int) []reads {
	out := make([]reads, len(win.Taps))
	source := make([]int32, b.n)
	for t := range win.Taps {
		for p := range source {
			source[p] = -1
		}
		tap := win.Taps[t].Within(b.first, b.n)
		copy(source[tap.First:], tap.Source)
		for p := 0; p < b.n; {
			end, src := min((p/width+1)*width, b.n), source[p]
			n := 1
			for p+n < end && (source[p+n] < 0) == (src < 0) && (src < 0 || source[p+n] == src+int32(n)) {
				n++
			}
			piece := kernel.Move{To: p/width*step + t*width + p%width, From: int(src), N: n}
			if src < 0 {
				out[t].zeros = append(out[t].zeros, piece)
			} else {
				out[t].moves = append(out[t].moves, piece)
			}
			p += n
		}
	}
	return out
}

// gatherPanels is copyPanels of what each tap reads.
func gatherPanels(dst, x []float64, taps []reads) {
	for _, r := range taps {
		for _, z := range r.zeros {
			clear(dst[z.To:][:z.N])
		}
		kernel.Moves(dst, x, r.moves, 1, 0)
	}
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
