package eval

import (
	"sync"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/kernel"
)

// A packed product is split into tasks of tileCols columns, which goroutines take, and
// each of these into blocks: depth numbers of tileCols columns and of blockRows rows lie
// in the second-level cache, one panel of each in the first. The split depends on the
// extents alone, so that any number of threads gives the same bits.
const (
	tileCols  = 8 * kernel.TileCols
	blockRows = 16 * kernel.TileRows
	depth     = 192
	// packedTasks is the number of tasks that there are at least, of products with that
	// many blocks of rows.
	packedTasks = 8
)

// packed is a product of matrices, groups of them: (rows x k) (k x cols), of which the
// left ones are packed beforehand and the right ones as they are needed.
type packed struct {
	groups, rows, cols, k int
	// left writes rows of the left matrix of a group in panels, see pack.
	left func(p *pack, g, row, n int)
	// right returns what writes columns of the right matrix of a group in panels; each
	// goroutine has its own.
	right func() func(p *pack, g, col, n int)
	// ends returns the end of the block of the depth that begins at k0; nil splits evenly.
	ends func(k0 int) int
	// line is the number of columns that lie together in the result: column c of row r of
	// group g is at c/line*skip + (g*rows+r)*line + c%line.
	line, skip int
	finish     func(dst []float64, row, col int)
}

// pack is a block of a matrix, in panels of width rows (or columns): panel q has entry l of
// its row i at q*depth*width + (l-k0)*width + i.
type pack struct {
	dst    []float64
	width  int
	depth  int
	k0, k1 int
}

// panels are the widths of panels: those of kernel.Tile where that is fast, and else whole
// blocks, which a library multiplies.
func panels() (rows, cols int) {
	if kernel.Tiled() {
		return kernel.TileRows, kernel.TileCols
	}
	return blockRows, tileCols
}

// eval writes the product to dst.
func (p *packed) eval(ev *evaluator, dst []float64) {
	if p.rows == 0 || p.cols == 0 || p.groups == 0 {
		return
	}
	pr, pc := panels()
	if !kernel.Tiled() {
		pr = min(pr, p.rows)
	}
	blocks := (p.rows + blockRows - 1) / blockRows
	padded := (p.rows + pr - 1) / pr * pr
	left := ev.buffer(p.groups * padded * p.k)
	defer ev.give(left)
	kernel.Parallel(p.groups*blocks, ev.threads, max(1, 1<<14/max(1, blockRows*p.k)), func(lo, hi int) {
		for t := lo; t < hi; t++ {
			g, row := t/blocks, t%blocks*blockRows
			p.left(&pack{left[(g*padded+row)*p.k:], pr, p.k, 0, p.k}, g, row, min(blockRows, p.rows-row))
		}
	})
	tiles := (p.cols + tileCols - 1) / tileCols
	splits := min(blocks, max(1, packedTasks/(tiles*p.groups)))
	work := max(1, 2*p.rows*min(p.cols, tileCols)*p.k/splits)
	kernel.Parallel(p.groups*tiles*splits, ev.threads, max(1, 1<<18/work), func(lo, hi int) {
		buf := scratch.Get().(*[]float64)
		defer scratch.Put(buf)
		w := &packedWorker{packed: p, blas: ev.blas.Serial(), dst: dst, right: (*buf)[:depth*tileCols], apart: (*buf)[depth*tileCols:], pr: pr, pc: pc}
		fill := p.right()
		for t := lo; t < hi; t++ {
			g, col := t/splits/tiles, t/splits%tiles*tileCols
			from, to := t%splits*blocks/splits, (t%splits+1)*blocks/splits
			w.tile(fill, left[g*padded*p.k:], g, from*blockRows, min(to*blockRows, p.rows), col, min(col+tileCols, p.cols))
		}
	})
}

// packedWorker computes tiles of a result.
type packedWorker struct {
	*packed
	blas *blas.Engine
	dst  []float64
	// right is a block of the right matrix, apart a product of panels.
	right, apart []float64
	pr, pc       int
}

// scratch are buffers of workers.
var scratch = sync.Pool{New: func() any {
	pr, pc := panels()
	buf := make([]float64, depth*tileCols+pr*pc)
	return &buf
}}

func (w *packedWorker) tile(fill func(p *pack, g, col, n int), left []float64, g, r0, r1, c0, c1 int) {
	k0 := 0
	for first := true; first || k0 < w.k; first = false {
		k1 := w.end(k0)
		fill(&pack{w.right, w.pc, depth, k0, k1}, g, c0, c1-c0)
		mode := kernel.Accumulate
		if first {
			mode = kernel.Overwrite
		}
		for row := r0; row < r1; row += blockRows {
			end := min(row+blockRows, r1)
			for col := c0; col < c1; col += w.pc {
				b := w.right[(col-c0)*depth:]
				for r := row; r < end; r += w.pr {
					w.panel(left[r*w.k+k0*w.pr:], b, k1-k0, g, r, min(w.pr, end-r), col, min(w.pc, c1-col), mode)
				}
			}
			if k1 == w.k {
				for r := row; r < end; r++ {
					w.lines(c0, c1, func(at, col, n int) { w.finish(w.dst[at+(g*w.rows+r)*w.line:][:n], g*w.rows+r, col) })
				}
			}
		}
		k0 = k1
	}
}

// end returns the end of the block of the depth that begins at k0.
func (w *packedWorker) end(k0 int) int {
	switch {
	case w.k == 0:
		return 0
	case w.ends != nil:
		return w.ends(k0)
	}
	return k0 + evenly(w.k-k0)
}

// evenly returns the size of the first of blocks of a depth.
func evenly(k int) int {
	blocks := (k + depth - 1) / depth
	return (k + blocks - 1) / blocks
}

// lines calls f for the parts of columns [c0, c1) that lie together: at is where a part
// would begin in row 0.
func (w *packed) lines(c0, c1 int, f func(at, col, n int)) {
	for c0 < c1 {
		in := c0 % w.line
		n := min(w.line-in, c1-c0)
		f(c0/w.line*w.skip+in, c0, n)
		c0 += n
	}
}

// panel multiplies two panels. Where their product is no whole tile that lies together
// in the result, it goes by way of a buffer.
func (w *packedWorker) panel(a, b []float64, k, g, row, rows, col, cols int, mode kernel.Store) {
	together := col%w.line+cols <= w.line
	whole := together && (!kernel.Tiled() || rows == w.pr && cols == w.pc)
	at := col/w.line*w.skip + (g*w.rows+row)*w.line + col%w.line
	if whole {
		w.multiply(w.dst[at:], w.line, a, b, k, rows, cols, mode)
		return
	}
	w.multiply(w.apart, w.pc, a, b, k, rows, cols, kernel.Overwrite)
	for i := range rows {
		w.lines(col, col+cols, func(at, c, n int) {
			to, from := w.dst[at+(g*w.rows+row+i)*w.line:][:n], w.apart[i*w.pc+c-col:][:n]
			if mode == kernel.Overwrite {
				copy(to, from)
				return
			}
			for j, v := range from {
				to[j] += v
			}
		})
	}
}

func (w *packedWorker) multiply(c []float64, stride int, a, b []float64, k, rows, cols int, mode kernel.Store) {
	if kernel.Tiled() {
		kernel.Tile(c, stride, a, b, k, mode)
		return
	}
	w.blas.Dgemm(true, false, rows, cols, k, 1, a, w.pr, b, w.pc, float64(mode), c, stride)
}

// float are the types of stored weights.
type float interface{ float32 | float64 }

// rowPanels packs n rows, from the given one on, of a matrix that is stored by rows of ld
// numbers.
func rowPanels[T float](p *pack, src []T, ld, row, n int) {
	k := p.k1 - p.k0
	if k == 0 {
		return
	}
	at := func(i int) []T { return src[(row+i)*ld+p.k0:][:k] }
	for i := 0; i < n; {
		dst := p.dst[i/p.width*p.depth*p.width+i%p.width:]
		if i+4 <= n && i%p.width+4 <= p.width {
			r0, r1, r2, r3 := at(i), at(i+1), at(i+2), at(i+3)
			for l, v := range r0 {
				d := dst[l*p.width:][:4]
				d[0], d[1], d[2], d[3] = float64(v), float64(r1[l]), float64(r2[l]), float64(r3[l])
			}
			i += 4
			continue
		}
		for l, v := range at(i) {
			dst[l*p.width] = float64(v)
		}
		i++
	}
}

// columnPanels packs n columns, from the given one on, of a matrix that is stored by rows
// of ld numbers.
func columnPanels[T float](p *pack, src []T, ld, col, n int) {
	for l := p.k0; l < p.k1; l++ {
		row := src[l*ld+col:][:n]
		for q := 0; q < n; q += p.width {
			dst := p.dst[q*p.depth+(l-p.k0)*p.width:]
			for i, v := range row[q:min(q+p.width, n)] {
				dst[i] = float64(v)
			}
		}
	}
}
