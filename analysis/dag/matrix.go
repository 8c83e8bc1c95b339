package dag

import "github.com/relupath/relupath/analysis/kernel"

// Matrix is one diagonal block of a layer's effective weight matrix
// diag(Scale) W, over the weights as they are stored. A convolution's has one row
// an output channel and one column an input channel and kernel position: each
// stored weight once, the positions of the value play no part. Groups of a
// convolution are blocks, in the order of storage; other layers have one.
type Matrix struct {
	// Row and Col are the first unit and the first input (channel).
	Row, Col int
	// Rows and Cols are the block's size.
	Rows, Cols int
	// Kernel is the number of columns an input channel has.
	Kernel int
	// Turned says that the weights are stored inputs first: see Stored.
	Turned bool
	// Diagonal says that the weights are those of the diagonal, one a row, and all others zero.
	Diagonal bool
	// F32 or F64 are the stored weights, without factors; the other is nil. They
	// must not be written to.
	F32 []float32
	F64 []float64

	rowScale, colScale []float64 // nil is ones
}

// Matrices returns the layer's effective matrix as views of the stored weights. It
// is nil for a constant, for fixed weights and for a Diagonal, whose matrix is
// diag(Scale).
func (l *Linear) Matrices() []Matrix {
	if l.Map == nil || l.Map.Weight() == nil {
		return nil
	}
	m, blocks := l.Map.matrix()
	w, scale := l.Map.Weight().Param, l.Scale()
	f32, f64 := w.Float32s(), w.Float64s()
	out := make([]Matrix, blocks)
	for g := range out {
		m.Row, m.Col = g*m.Rows, g*m.Cols/m.Kernel
		if f64 != nil {
			m.F64 = f64[g*m.Len():][:m.Len()]
		} else {
			m.F32 = f32[g*m.Len():][:m.Len()]
		}
		if scale != nil {
			m.rowScale = scale[m.Row:][:m.Rows]
		}
		out[g] = m
	}
	return out
}

// DiagonalMatrix is the square matrix with x on its diagonal.
func DiagonalMatrix(x []float64) Matrix {
	return Matrix{Rows: len(x), Cols: len(x), Kernel: 1, Diagonal: true, F64: x}
}

// Len returns the number of weights.
func (m *Matrix) Len() int {
	rows, cols := m.Stored()
	return rows * cols
}

// Stored returns the rows and columns of the weights as they are stored, row by
// row: Rows x Cols, or one row an input and Kernel columns a unit where they are
// Turned. A Diagonal has one column.
func (m *Matrix) Stored() (rows, cols int) {
	switch {
	case m.Diagonal:
		return m.Rows, 1
	case m.Turned:
		return m.Cols / m.Kernel, m.Rows * m.Kernel
	}
	return m.Rows, m.Cols
}

// At returns stored weight e, without factors.
func (m *Matrix) At(e int) float64 {
	if m.F64 != nil {
		return m.F64[e]
	}
	return float64(m.F32[e])
}

// Place returns the unit and the input unit or channel of stored weight e.
func (m *Matrix) Place(e int) (row, col int) {
	if m.Diagonal {
		return m.Row + e, m.Col + e
	}
	_, n := m.Stored()
	i := e / n
	j := e - i*n
	if m.Kernel != 1 {
		j /= m.Kernel
	}
	if m.Turned {
		i, j = j, i
	}
	return m.Row + i, m.Col + j
}

// Float32s returns a view of the whole matrix, row-major, where it is stored so in
// float32 and has no factors; nil elsewhere.
func (m *Matrix) Float32s() []float32 {
	if m.Turned || m.Diagonal || m.rowScale != nil || m.colScale != nil {
		return nil
	}
	return m.F32
}

// ReadRows writes rows [lo, hi), counted from Row, in float64 to dst, row-major.
func (m *Matrix) ReadRows(dst []float64, lo, hi int) {
	mustLen("matrix rows", len(dst), (hi-lo)*m.Cols)
	switch {
	case m.Diagonal:
		clear(dst)
		for i := lo; i < hi; i++ {
			dst[(i-lo)*m.Cols+i] = m.At(i)
		}
	case m.Turned && m.F64 != nil:
		turn(dst, m.F64, m, lo, hi)
	case m.Turned:
		turn(dst, m.F32, m, lo, hi)
	case m.F64 != nil:
		copy(dst, m.F64[lo*m.Cols:hi*m.Cols])
	default:
		kernel.Widen(dst, m.F32[lo*m.Cols:hi*m.Cols])
	}
	for i := lo; i < hi; i++ {
		row := dst[(i-lo)*m.Cols:][:m.Cols]
		if m.rowScale != nil {
			s := m.rowScale[i]
			for j := range row {
				row[j] *= s
			}
		}
		if m.colScale != nil {
			for j, s := range m.colScale {
				row[j] *= s
			}
		}
	}
}

// turn reads rows of a matrix that is stored inputs first.
func turn[T kernel.Float](dst []float64, src []T, m *Matrix, lo, hi int) {
	inputs, n := m.Stored()
	k := m.Kernel
	for j := range inputs {
		part := src[j*n+lo*k : j*n+hi*k]
		if k == 1 {
			for i, v := range part {
				dst[i*m.Cols+j] = float64(v)
			}
			continue
		}
		for i := range hi - lo {
			for t, v := range part[i*k:][:k] {
				dst[i*m.Cols+j*k+t] = float64(v)
			}
		}
	}
}

// Flip returns the transposed matrix where that is how the weights are stored, and
// m itself elsewhere: what does not care, such as singular values, then reads
// memory in order.
func (m Matrix) Flip() Matrix {
	if !m.Turned || m.Kernel != 1 {
		return m
	}
	m.Turned = false
	m.Row, m.Col, m.Rows, m.Cols = m.Col, m.Row, m.Cols, m.Rows
	m.rowScale, m.colScale = m.colScale, m.rowScale
	return m
}
