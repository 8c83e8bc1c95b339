package dag

import "fmt"

// Dense is a full weight matrix in either memory layout.
type Dense struct {
	// W is the stored matrix: Rows x Cols row-major, or Cols x Rows when InOut
	// is set (MatMul with the weight on the right, Gemm without transB).
	W Use
	// Rows is the number of units, Cols the number of inputs.
	Rows, Cols int
	// InOut says that W is stored in x out.
	InOut bool
	// Outer and Inner repeat the map over positions: the operand has shape
	// (Outer, Cols, Inner), the value (Outer, Rows, Inner). Zero is 1.
	Outer, Inner int
}

func (d *Dense) outer() int { return max(d.Outer, 1) }
func (d *Dense) inner() int { return max(d.Inner, 1) }

// Out implements Map.
func (d *Dense) Out() Axis { return Axis{d.outer(), d.Rows, d.inner()} }

// In implements Map.
func (d *Dense) In() Axis { return Axis{d.outer(), d.Cols, d.inner()} }

// Weight implements Map.
func (d *Dense) Weight() *Use { return &d.W }

// Mixes implements Map.
func (d *Dense) Mixes() int { return 1 }

// Slides implements Map.
func (d *Dense) Slides() (*Window, bool) { return nil, false }

// Positions implements Map.
func (d *Dense) Positions() int { return d.outer() * d.inner() }

func (d *Dense) matrix() (Matrix, int) {
	return Matrix{Rows: d.Rows, Cols: d.Cols, Kernel: 1, Turned: d.InOut}, 1
}

// String implements Map.
func (d *Dense) String() string { return fmt.Sprintf("Linear %dx%d", d.Rows, d.Cols) }

func (d *Dense) check() error {
	if d.W.Param == nil {
		return fmt.Errorf("a dense map without a weight")
	}
	want, ok := product(d.Rows, d.Cols)
	if !ok || d.W.Param.Len() != want {
		return errLength(fmt.Sprintf("weight %q of %d x %d", d.W.Param.Name, d.Rows, d.Cols), d.W.Param.Len(), want)
	}
	return d.Out().check()
}

// WithWeight implements Map.
func (d *Dense) WithWeight(u Use) Map {
	c := *d
	c.W = u
	return &c
}

func (d *Dense) edit(a, b []float64) *scaling {
	if d.InOut {
		return &scaling{base: d.W.Param, a: b, b: a, B: d.Rows, K: 1, groups: 1}
	}
	return &scaling{base: d.W.Param, a: a, b: b, B: d.Cols, K: 1, groups: 1}
}

// At returns the stored weight from input j to unit i.
func (d *Dense) At(i, j int) float64 {
	if d.InOut {
		return d.W.Param.At(j*d.Rows + i)
	}
	return d.W.Param.At(i*d.Cols + j)
}

func (d *Dense) elements(f func(row, col, out, in int, w float64)) {
	o, n := d.outer(), d.inner()
	for i := range d.Rows {
		for j := range d.Cols {
			w := d.At(i, j)
			for a := range o {
				for b := range n {
					f(i, j, (a*d.Rows+i)*n+b, (a*d.Cols+j)*n+b, w)
				}
			}
		}
	}
}
