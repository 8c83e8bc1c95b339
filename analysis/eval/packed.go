package eval

import (
	"sync"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/kernel"
)

// A packed product is split into tasks of some columns, which goroutines take, and each of
// these into blocks: at most depth numbers of the columns and of blockRows rows lie in the
// second-level cache, one panel of each in the first. A task has tileCols columns, and more of a
// product that is not as deep, so that it is as large. The split depends on the extents alone, so
// that any number of threads gives the same bits.
const (
	tileCols  = 4 * kernel.MaxTileCols
	blockRows = 8 * kernel.MaxTileRows
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
	// blocks returns the end of the block of the depth that begins at k0; nil splits evenly.
	blocks func(k0 int) int
	// line is the number of columns that lie together in the result: column c of row r of
	// group g is at c/line*skip + (g*rows+r)*line + c%line.
	line, skip int
	// rowUnits finishes rows, each of which is one unit's; units finishes what has a unit in
	// each column, row by row.
	rowUnits *finish
	units    *finish
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
		return kernel.TileSize()
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
	ends := p.finishes(padded)
	deep := max(1, p.end(0))
	width := p.width(deep)
	tiles := (p.cols + width - 1) / width
	splits := min(blocks, max(1, packedTasks/(tiles*p.groups)))
	work := max(1, 2*p.rows*min(p.cols, width)*p.k/splits)
	kernel.Parallel(p.groups*tiles*splits, ev.threads, max(1, 1<<18/work), func(lo, hi int) {
		buf := scratch.Get().(*[]float64)
		defer scratch.Put(buf)
		w := &packedWorker{
			packed: p, blas: ev.blas.Serial(), dst: dst, pr: pr, pc: pc, deep: deep,
			right: (*buf)[:depth*tileCols], apart: (*buf)[depth*tileCols:],
		}
		fill := p.right()
		for t := lo; t < hi; t++ {
			g, col := t/splits/tiles, t/splits%tiles*width
			from, to := t%splits*blocks/splits, (t%splits+1)*blocks/splits
			if ends != nil {
				w.ends = &kernel.Finish{Scale: ends.Scale[g*padded:][:padded], Bias: ends.Bias[g*padded:][:padded], Lo: ends.Lo, Hi: ends.Hi}
			}
			w.tile(fill, left[g*padded*p.k:], g, from*blockRows, min(to*blockRows, p.rows), col, min(col+width, p.cols))
		}
	})
}

// width returns the number of columns of a task whose blocks are so deep.
func (p *packed) width(deep int) int {
	if !kernel.Tiled() {
		return tileCols
	}
	_, pc := kernel.TileSize()
	panels := min(depth*tileCols/deep/pc, ceilDiv(p.cols, packedTasks*pc))
	return max(tileCols, panels*pc)
}

// finishes returns what becomes of the rows, padded of each group; nil where they stay.
func (p *packed) finishes(padded int) *kernel.Finish {
	f := p.rowUnits
	if f == nil || f.scale == nil && f.bias == nil && f.bounds == unbounded {
		return nil
	}
	ends := &kernel.Finish{Scale: make([]float64, p.groups*padded), Bias: make([]float64, p.groups*padded), Lo: f.bounds.lo, Hi: f.bounds.hi}
	for g := range p.groups {
		for r := range p.rows {
			s, b := f.of(g*p.rows + r)
			ends.Scale[g*padded+r], ends.Bias[g*padded+r] = s, b+0 // not -0: a bound of 0 gives +0
		}
	}
	return ends
}

// packedWorker computes tiles of a result.
type packedWorker struct {
	*packed
	blas *blas.Engine
	dst  []float64
	// right is a block of the right matrix, deep numbers of each column; apart is a product of a block of rows
	// and a panel of columns.
	right, apart []float64
	pr, pc, deep int
	// ends finishes the rows of the group, rest those from one of them on.
	ends *kernel.Finish
	rest kernel.Finish
}

// scratch are buffers of workers.
var scratch = sync.Pool{New: func() any {
	_, pc := panels()
	buf := make([]float64, depth*tileCols+blockRows*pc)
	return &buf
}}

func (w *packedWorker) tile(fill func(p *pack, g, col, n int), left []float64, g, r0, r1, c0, c1 int) {
	k0 := 0
	for first := true; first || k0 < w.k; first = false {
		k1 := w.end(k0)
		fill(&pack{w.right, w.pc, w.deep, k0, k1}, g, c0, c1-c0)
		b := block{k: k1 - k0, last: k1 == w.k}
		if !first {
			b.mode = kernel.Accumulate
		}
		for row := r0; row < r1; row += blockRows {
			end := min(row+blockRows, r1)
			for col := c0; col < c1; col += w.pc {
				w.column(left[row*w.k+k0*w.pr:], w.right[(col-c0)*w.deep:], b, g, row, end, col, min(w.pc, c1-col))
			}
			if b.last && w.units != nil {
				for r := row; r < end; r++ {
					w.lines(c0, c1, func(at, col, n int) { w.units.units(w.dst[at+(g*w.rows+r)*w.line:][:n], col) })
				}
			}
		}
		k0 = k1
	}
}

// block is a part of the depth, k numbers of it.
type block struct {
	k    int
	mode kernel.Store
	last bool
}

// end returns the end of the block of the depth that begins at k0.
func (p *packed) end(k0 int) int {
	switch {
	case p.k == 0:
		return 0
	case p.blocks != nil:
		return p.blocks(k0)
	}
	return k0 + evenly(p.k-k0)
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

// column multiplies rows [row, end) by a panel of columns. Where their product is no whole tiles
// that lie together in the result, it goes by way of a buffer.
func (w *packedWorker) column(left, right []float64, b block, g, row, end, col, cols int) {
	whole := 0
	if col%w.line+cols <= w.line {
		whole = end - row
		if kernel.Tiled() {
			whole = whole / w.pr * w.pr
			if cols < w.pc {
				whole = 0
			}
		}
		at := col/w.line*w.skip + (g*w.rows+row)*w.line + col%w.line
		w.multiply(w.dst[at:], w.line, left, right, b, row, whole, cols)
	}
	if row += whole; row == end {
		return
	}
	if b.mode == kernel.Accumulate {
		w.pieces(g, row, end, col, cols, func(result, apart []float64) { copy(apart, result) })
	}
	w.multiply(w.apart, w.pc, left[whole*w.k:], right, b, row, end-row, cols)
	w.pieces(g, row, end, col, cols, func(result, apart []float64) { copy(result, apart) })
}

// pieces calls f for what lies together of rows and columns, in the result and in the buffer.
func (w *packedWorker) pieces(g, row, end, col, cols int, f func(result, apart []float64)) {
	w.lines(col, col+cols, func(at, c, n int) {
		for r := row; r < end; r++ {
			f(w.dst[at+(g*w.rows+r)*w.line:][:n], w.apart[(r-row)*w.pc+c-col:][:n])
		}
	})
}

// multiply multiplies rows from the given one on, and finishes them where the block is the last.
func (w *packedWorker) multiply(c []float64, stride int, left, right []float64, b block, row, rows, cols int) {
	if rows == 0 {
		return
	}
	if kernel.Tiled() {
		var ends *kernel.Finish
		if b.last && w.ends != nil {
			w.rest = kernel.Finish{Scale: w.ends.Scale[row:], Bias: w.ends.Bias[row:], Lo: w.ends.Lo, Hi: w.ends.Hi}
			ends = &w.rest
		}
		kernel.Tiles(c, stride, left, w.k*w.pr, (rows+w.pr-1)/w.pr, right, b.k, b.mode, ends)
		return
	}
	w.blas.Dgemm(true, false, rows, cols, b.k, 1, left, w.pr, right, w.pc, float64(b.mode), c, stride)
	if b.last && w.ends != nil {
		for i := range rows {
			kernel.Affine(c[i*stride:][:cols], c[i*stride:][:cols], w.ends.Scale[row+i], w.ends.Bias[row+i], w.ends.Lo, w.ends.Hi)
		}
	}
}

// float are the types of stored weights.
type float interface{ float32 | float64 }

// rowPanels packs n rows, from the given one on, of a matrix that is stored by rows of ld
// numbers.
func rowPanels[T float](p *pack, src []T, ld, row, n int) {
	if k := p.k1 - p.k0; k > 0 {
		kernel.PanelRows(p.dst, p.width, p.depth, src[row*ld+p.k0:], ld, n, k, kernel.Same)
	}
}

// columnPanels packs n columns, from the given one on, of a matrix that is stored by rows
// of ld numbers.
func columnPanels[T float](p *pack, src []T, ld, col, n int) {
	for l := p.k0; l < p.k1; l++ {
		row := src[l*ld+col:][:n]
		for q := 0; q < n; q += p.width {
			part := row[q:min(q+p.width, n)]
			dst := p.dst[q*p.depth+(l-p.k0)*p.width:][:len(part)]
			switch part := any(part).(type) {
			case []float32:
				kernel.Widen(dst, part)
			case []float64:
				copy(dst, part)
			}
		}
	}
}
