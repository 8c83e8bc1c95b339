package dag

import "github.com/relupath/relupath/analysis/kernel"

// Block is one diagonal block of a layer's effective weight matrix
// diag(Scale) W. A convolution's matrix has one row an output channel and one
// column an input channel and kernel position: each stored weight once, the
// positions of the value play no part. Groups of a convolution are blocks; other
// layers have one.
type Block struct {
	// Row and Col are the first unit and the first input (channel).
	Row, Col int
	// Rows and Cols are the block's size.
	Rows, Cols int
	// Kernel is the number of columns an input channel has.
	Kernel int

	scale []float64 // of the block's rows; nil is ones
	f32   []float32
	f64   []float64
	inOut bool // stored Cols x Rows
}

// Blocks returns the layer's effective matrix: views of the stored weights, a
// copy of a transposed convolution's. It is nil for a constant, for fixed
// weights and for a Diagonal, whose matrix is diag(Scale).
func (l *Linear) Blocks() []Block {
	rows := func(b *Block) []float64 {
		if l.Scale() == nil {
			return nil
		}
		return l.Scale()[b.Row : b.Row+b.Rows]
	}
	switch m := l.Map.(type) {
	case *Dense:
		b := Block{Rows: m.Rows, Cols: m.Cols, Kernel: 1, f32: m.W.Param.Float32s(), f64: m.W.Param.Float64s(), inOut: m.InOut}
		b.scale = rows(&b)
		return []Block{b}
	case *Conv:
		k, ci, co := Size(m.Window.Kernel), m.InChannels/m.Groups, m.OutChannels/m.Groups
		out := make([]Block, m.Groups)
		for g := range out {
			b := Block{Row: g * co, Col: g * ci, Rows: co, Cols: ci * k, Kernel: k}
			b.scale = rows(&b)
			if m.Transposed {
				b.f64 = m.matrix(g)
			} else if f := m.W.Param.Float64s(); f != nil {
				b.f64 = f[g*co*ci*k:][:co*ci*k]
			} else {
				b.f32 = m.W.Param.Float32s()[g*co*ci*k:][:co*ci*k]
			}
			out[g] = b
		}
		return out
	}
	return nil
}

// Float32s returns a view of the whole block, row-major, where it is stored so in
// float32 and has no factors; nil elsewhere.
func (b *Block) Float32s() []float32 {
	if b.inOut || b.scale != nil {
		return nil
	}
	return b.f32
}

// ReadRows writes rows [lo, hi) in float64 to dst, row-major.
func (b *Block) ReadRows(dst []float64, lo, hi int) {
	mustLen("matrix rows", len(dst), (hi-lo)*b.Cols)
	switch {
	case b.inOut && b.f64 != nil:
		transpose(dst, b.f64, b.Rows, b.Cols, lo, hi)
	case b.inOut:
		transpose(dst, b.f32, b.Rows, b.Cols, lo, hi)
	case b.f64 != nil:
		copy(dst, b.f64[lo*b.Cols:hi*b.Cols])
	default:
		kernel.Widen(dst, b.f32[lo*b.Cols:hi*b.Cols])
	}
	if b.scale == nil {
		return
	}
	for i := lo; i < hi; i++ {
		for j, s := (i-lo)*b.Cols, b.scale[i]; j < (i-lo+1)*b.Cols; j++ {
			dst[j] *= s
		}
	}
}

func transpose[T float32 | float64](dst []float64, src []T, rows, cols, lo, hi int) {
	for j := range cols {
		for i, v := range src[j*rows+lo : j*rows+hi] {
			dst[i*cols+j] = float64(v)
		}
	}
}

// Flip returns the transposed block where the weights are stored that way
// round, and the block itself elsewhere: what does not care, such as singular
// values, then reads memory in order. The second result has the factor of each
// row, the third of each column; nil is ones. Read the flipped block with
// ReadRows, which then leaves the factors out.
func (b *Block) Flip() (c Block, row, col []float64) {
	c = *b
	c.scale = nil
	if b.inOut {
		c.Rows, c.Cols, c.inOut = b.Cols, b.Rows, false
		c.Row, c.Col, c.Kernel = b.Col, b.Row, 1
		return c, nil, b.scale
	}
	return c, b.scale, nil
}

// Place returns the unit and the input unit or channel of a stored weight.
func Place(m Map, at int) (row, col int) {
	switch m := m.(type) {
	case *Dense:
		if m.InOut {
			return at % m.Rows, at / m.Rows
		}
		return at / m.Cols, at % m.Cols
	case *Conv:
		ci, co := m.InChannels/m.Groups, m.OutChannels/m.Groups
		at /= Size(m.Window.Kernel)
		if m.Transposed {
			col, i := at/co, at%co
			return col/ci*co + i, col
		}
		row, j := at/ci, at%ci
		return row, row/co*ci + j
	}
	return at, at
}
