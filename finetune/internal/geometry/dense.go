package geometry

import "github.com/relupath/relupath/finetune/internal/program"

// dense is a matrix at each of some positions.
type dense[T program.Float] struct {
	g *Geometry[T]
	*program.Dense
	m *matrixSums[T]
}

// both serves both directions of a dense layer with one read of its weights.
func (d *dense[T]) both() {
	g := d.g
	x, y := &g.in[d.X], &g.out[d.Y]
	if !y.set {
		y.start(0)
	}
	up, down := &g.in[d.Y], g.tmp[:d.Cols]
	up.e, up.set = x.e, true
	if d.InOut {
		d.m.sums(down, y.v, up.v, x.v)
	} else {
		d.m.sums(up.v, x.v, down, y.v)
	}
	up.settle()
	g.give(d.X, 0, down, y.e)
}

func (d *dense[T]) forward(y *vec) {
	x := &d.g.in[d.X]
	y.e = x.e
	d.positions(y.v, d.Rows, x.v, d.Cols, d.along)
}

// positions makes n sums of m numbers by sums, at each position.
func (d *dense[T]) positions(dst []float64, n int, src []float64, m int, sums func(dst, h []float64)) {
	if d.Plain() {
		sums(dst, src)
		return
	}
	h, s := make([]float64, m), make([]float64, n)
	for a := range d.Outer {
		for b := range d.Inner {
			for j := range h {
				h[j] = src[(a*m+j)*d.Inner+b]
			}
			sums(s, h)
			for k, v := range s {
				dst[(a*n+k)*d.Inner+b] = v
			}
		}
	}
}

// along sums over the inputs of each unit.
func (d *dense[T]) along(dst, h []float64) {
	if d.InOut {
		d.m.sums(nil, nil, dst, h)
	} else {
		d.m.sums(dst, h, nil, nil)
	}
}

// against sums over the units of each input.
func (d *dense[T]) against(dst, h []float64) {
	if d.InOut {
		d.m.sums(dst, h, nil, nil)
	} else {
		d.m.sums(nil, nil, dst, h)
	}
}

func (d *dense[T]) backward(y *vec) {
	g := d.g
	tmp := g.tmp[:len(g.out[d.X].v)]
	d.positions(tmp, d.Cols, y.v, d.Rows, d.against)
	g.give(d.X, 0, tmp, y.e)
}

// total adds the products over the positions of a dense layer.
func (d *dense[T]) total(dst []float64, f, q float64, _ edges) {
	g := d.g
	in, out := g.lift(0, &g.in[d.X], q), g.lift(1, &g.out[d.Y], q)
	for a := range d.Outer {
		for b := range d.Inner {
			for i := range d.Rows {
				o := f * out[(a*d.Rows+i)*d.Inner+b]
				for j := range d.Cols {
					at := i*d.Cols + j
					if d.InOut {
						at = j*d.Rows + i
					}
					dst[at] += o * in[(a*d.Cols+j)*d.Inner+b]
				}
			}
		}
	}
}
