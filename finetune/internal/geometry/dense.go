package geometry

import "github.com/relupath/relupath/finetune/internal/program"

// dense is a matrix at each of some positions.
type dense[T program.Float] struct {
	g *Geometry[T]
	*program.Dense
	m *matrix[T]
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
	if d.Plain() {
		d.along(y.v, x.v)
		return
	}
	h, s := make([]float64, d.Cols), make([]float64, d.Rows)
	for a := range d.Outer {
		for b := range d.Inner {
			for j := range h {
				h[j] = x.v[(a*d.Cols+j)*d.Inner+b]
			}
			d.along(s, h)
			for k, v := range s {
				y.v[(a*d.Rows+k)*d.Inner+b] = v
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
	if d.Plain() {
		d.against(tmp, y.v)
		g.give(d.X, 0, tmp, y.e)
		return
	}
	h, s := make([]float64, d.Rows), make([]float64, d.Cols)
	for a := range d.Outer {
		for b := range d.Inner {
			for k := range h {
				h[k] = y.v[(a*d.Rows+k)*d.Inner+b]
			}
			d.against(s, h)
			for j, v := range s {
				tmp[(a*d.Cols+j)*d.Inner+b] = v
			}
		}
	}
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
