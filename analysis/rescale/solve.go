package rescale

import (
	"fmt"
	"math"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/disjoint"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/analysis/paths"
)

// solve finds z of every group, from the inputs to the outputs, then back for
// units without incoming weights, until nothing is left to find. Weights of few
// digits are asked last.
func (c *comparison) solve() {
	for {
		progress := false
		for _, p := range c.layers {
			progress = c.forward(p) || progress
		}
		for k := len(c.layers) - 1; k >= 0; k-- {
			progress = c.backward(c.layers[k]) || progress
		}
		if c.coarse && progress {
			c.lossy = true
		}
		switch {
		case c.ctx.Err() != nil:
			return
		case progress:
			c.coarse = false
		case !c.coarse:
			c.coarse = true
		case !c.capped() && !c.free():
			return
		}
	}
}

// tells reports whether two weights of a pair tell a factor.
func (c *comparison) tells(p *pair, a, b float64) bool {
	return comparable(a, b) && (c.coarse || math.Abs(a) >= p.leastA && math.Abs(b) >= p.leastB)
}

// isOpen reports whether a group's factor is still to be found.
func (c *comparison) isOpen(id int32) bool { return id != dag.NoGroup && !c.known[id] }

// learn notes the logarithm of a group's factor, and with it that of the group whose
// factor is 1 over it.
func (c *comparison) learn(id int32, z float64) {
	c.z[id], c.known[id] = z, true
	if of := c.g.Inverse[id]; of >= 0 {
		c.z[of], c.known[of] = -z, true
	}
}

// openRows lists the rows of a pair whose factors are still to be found.
func (c *comparison) openRows(p *pair) []int32 {
	var out []int32
	for i, id := range p.rows {
		if c.isOpen(id) {
			out = append(out, int32(i))
		}
	}
	return out
}

// openColumns says of which columns and taps the factors are still to be found;
// nil if of none.
func (c *comparison) openColumns(p *pair) []bool {
	var out []bool
	for j, id := range p.cols {
		if !c.isOpen(id) {
			continue
		}
		if out == nil {
			out = make([]bool, len(p.cols)*p.taps)
		}
		for t := range p.taps {
			out[j*p.taps+t] = true
		}
	}
	return out
}

// free finds the parts that no edge joins to a unit whose factor is known: the
// first unit of each keeps 1.
func (c *comparison) free() bool {
	parts := disjoint.New(len(c.known))
	for _, p := range c.layers {
		rows, open := c.openRows(p), c.openColumns(p)
		if rows == nil || open == nil {
			continue
		}
		r := p.reader()
		for _, i := range rows {
			if c.ctx.Err() != nil {
				return false
			}
			first, wa, wb := r.row(int(i))
			for k, w := range wa {
				if open[first+k] && comparable(w, wb[k]) {
					parts.Join(p.rows[i], p.cols[(first+k)/p.taps])
				}
			}
		}
	}
	any := false
	for id, k := range c.known {
		if !k && parts.Least(int32(id)) == int32(id) {
			c.learn(int32(id), 0)
			any = true
		}
	}
	return any
}

// columnFactors are the logarithms of the factors of a layer's columns, tap by tap.
type columnFactors struct {
	// z is NaN where the factor is not known, inv e^-z, there 0.
	z, inv []float64
	// wide says that products of the factors may leave the range of float64.
	wide bool
}

// far is the largest |z| for which e^z is multiplied as it is: the product of two
// factors and a quotient of weights stays in range.
const far = 300

func (c *comparison) columnFactors(p *pair) columnFactors {
	n := len(p.cols) * p.taps
	out := columnFactors{z: make([]float64, 0, n), inv: make([]float64, 0, n)}
	for _, id := range p.cols {
		z, inv := math.NaN(), 0.0
		if id != dag.NoGroup && c.known[id] {
			z = c.z[id]
			inv = math.Exp(-z)
			out.wide = out.wide || !(math.Abs(z) <= far)
		}
		for range p.taps {
			out.z, out.inv = append(out.z, z), append(out.inv, inv)
		}
	}
	return out
}

// forward takes the factors of rows from those of their columns.
func (c *comparison) forward(p *pair) (progress bool) {
	open := c.openRows(p)
	if open == nil {
		return false
	}
	cols := c.columnFactors(p)
	found := make([]float64, len(open))
	shared := p.reader()
	kernel.Parallel(len(open), c.threads, p.grain(), func(lo, hi int) {
		r := shared
		for q := lo; q < hi; q++ {
			if c.ctx.Err() != nil {
				return
			}
			found[q] = c.rowFactor(&r, int(open[q]), &cols)
		}
	})
	if c.ctx.Err() != nil {
		return false
	}
	for q, i := range open {
		if id := p.rows[i]; !c.known[id] && !math.IsNaN(found[q]) {
			c.learn(id, found[q])
			progress = true
		}
	}
	return progress
}

// Of the edges that agree with the largest, so many are averaged, looked for
// among so many.
const (
	averaged = 64
	asked    = 512
)

// rowFactor returns the logarithm of a row's factor, NaN where no edge tells it.
func (c *comparison) rowFactor(r *rowReader, i int, cols *columnFactors) float64 {
	p := r.p
	first, wa, wb := r.row(i)
	z, inv := cols.z[first:first+len(wa)], cols.inv[first:first+len(wa)]
	wb = wb[:len(wa)]
	top, best := -1, 0.0
	if !cols.wide {
		for k, w := range wa {
			if s := math.Abs(w) * inv[k]; s > best && c.tells(p, w, wb[k]) {
				top, best = k, s
			}
		}
	}
	size, ln := math.Inf(-1), math.NaN()
	if top >= 0 {
		size, ln = told(wa[top], wb[top], z[top])
	} else {
		for k, w := range wa {
			if z[k] != z[k] || !c.tells(p, w, wb[k]) {
				continue
			}
			if s, l := told(w, wb[k], z[k]); s > size {
				top, size, ln = k, s, l
			}
		}
	}
	if a, b := biasAt(p.a, i), biasAt(p.b, int(p.rowOf[i])); c.tells(p, a, b) {
		if s, l := told(a, b, 0); s > size {
			top, size, ln = -1, s, l
		}
	}
	if math.IsNaN(ln) {
		return ln
	}
	sum, n, left := 0.0, 1, asked
	for k, w := range wa {
		if k == top || z[k] != z[k] || !c.tells(p, w, wb[k]) {
			continue
		}
		// Small weights have lost digits where they are subnormal.
		if s, l := told(w, wb[k], z[k]); s > size-7 && math.Abs(l-ln) <= 2*c.tol {
			sum += l - ln
			n++
		}
		if left--; left == 0 || n == averaged {
			break
		}
	}
	return ln + sum/float64(n)
}

// told returns the logarithms of a's weight without its column's factor e^z, and
// of the row's factor as the weights of a and b tell it.
func told(a, b, z float64) (size, ln float64) {
	la := math.Log(math.Abs(a))
	return la - z, math.Log(math.Abs(b)) - la + z
}

// comparable reports whether one positive factor turns a into b.
func comparable(a, b float64) bool {
	return a != 0 && b != 0 && (a > 0) == (b > 0) && a-a == 0 && b-b == 0
}

// times returns w e^z without leaving the range of float64 between.
func times(w, z float64) float64 {
	for w != 0 && math.Abs(z) > 600 && w-w == 0 {
		step := math.Copysign(600, z)
		w *= math.Exp(step)
		z -= step
	}
	if w == 0 {
		return 0
	}
	return w * math.Exp(z)
}

// backward takes the factors of columns from those of rows, each from its
// largest weight.
func (c *comparison) backward(p *pair) (progress bool) {
	open := c.openColumns(p)
	if open == nil {
		return false
	}
	best := map[int32]float64{}
	r := p.reader()
	for i, id := range p.rows {
		if c.ctx.Err() != nil {
			return false
		}
		if id == dag.NoGroup || !c.known[id] {
			continue
		}
		first, wa, wb := r.row(i)
		for k, w := range wa {
			if !open[first+k] || !c.tells(p, w, wb[k]) {
				continue
			}
			g := p.cols[(first+k)/p.taps]
			size, ln := told(w, wb[k], 0)
			size += c.z[id]
			if old, ok := best[g]; !ok || size > old {
				best[g] = size
				c.z[g] = c.z[id] - ln
			}
		}
	}
	for g := range best {
		c.learn(g, c.z[g])
		progress = true
	}
	return progress
}

// worst is the largest relative residual of a row and its column.
type worst struct {
	residual float64
	col      int
}

// verify returns the largest relative residual and where it is.
func (c *comparison) verify() (top float64, where string) {
	for _, p := range c.layers {
		at := c.residuals(p)
		if c.ctx.Err() != nil {
			return top, where
		}
		sizes := biasSizes(p.b)
		for i := range p.rows {
			if !(at[i].residual <= top) {
				top, where = at[i].residual, c.edgeName(p, i, at[i].col)
			}
			if d := c.biasResidual(p, i, sizes, top); !(d <= top) {
				top, where = d, c.edgeName(p, i, -1)
			}
			if top != top {
				return top, where // no number is known to be worse
			}
		}
	}
	for _, f := range []func() (float64, string){c.slopes, c.bounds} {
		if r, w := f(); r > top {
			top, where = r, w
		}
	}
	return top, where
}

func (c *comparison) rowZ(p *pair, i int) float64 {
	if id := p.rows[i]; id != dag.NoGroup {
		return c.z[id]
	}
	return 0
}

// biasResidual returns the relative residual of a bias; what is below top may
// come without all that explains it.
func (c *comparison) biasResidual(p *pair, i int, sizes []float64, top float64) float64 {
	j := int(p.rowOf[i])
	a, b := biasAt(p.a, i), biasAt(p.b, j)
	z := c.rowZ(p, i)
	want := times(a, z)
	if a == 0 && b == 0 || b == want {
		return 0
	}
	quantum, eps := precision(&c.b.Nodes[p.node])
	quantumA, _ := precision(&c.a.Nodes[p.node])
	slack := quantum + times(quantumA, z)
	if j >= 0 {
		slack += 4 * eps * sizes[j]
	}
	if math.Abs(b-want)-slack > top*math.Abs(want) {
		slack += 4 * eps * times(c.typical(p, i), z)
	}
	return residual(b, want, slack)
}

// residual is the relative difference beyond slack.
func residual(got, want, slack float64) float64 {
	d := math.Abs(got-want) - slack
	if !(d > 0) && got-got == 0 {
		return 0
	}
	return d / math.Abs(want)
}

// residuals returns the largest relative residual of each row's weights.
func (c *comparison) residuals(p *pair) []worst {
	quantum, _ := precision(&c.b.Nodes[p.node])
	quantumA, _ := precision(&c.a.Nodes[p.node])
	cols := c.columnFactors(p)
	for k, z := range cols.z {
		if z != z { // no factor reaches here
			cols.z[k], cols.inv[k] = 0, 1
		}
	}
	out := make([]worst, len(p.rows))
	shared := p.reader()
	kernel.Parallel(len(out), c.threads, p.grain(), func(lo, hi int) {
		r := shared
		for i := lo; i < hi; i++ {
			if c.ctx.Err() != nil {
				return
			}
			first, wa, wb := r.row(i)
			z, inv := cols.z[first:first+len(wa)], cols.inv[first:first+len(wa)]
			wb = wb[:len(wa)]
			zr := c.rowZ(p, i)
			factor, wide := math.Exp(zr), cols.wide || !(math.Abs(zr) <= far)
			top := 0.0
			for k, w := range wa {
				f := factor * inv[k]
				want := w * f
				// Most weights agree better than the worst so far.
				if !wide && math.Abs(wb[k]-want) <= top*math.Abs(want)+quantum+quantumA*f {
					continue
				}
				want = times(w, zr-z[k])
				if wb[k] == want {
					continue
				}
				// A subnormal number of a has as few digits, and they come times the factor.
				d := residual(wb[k], want, quantum+times(quantumA, zr-z[k]))
				if !(d <= top) {
					top = d
					out[i] = worst{d, (first + k) / p.taps}
				}
				if d != d {
					break
				}
			}
		}
	})
	return out
}

// typical is the 2-path norm of a unit of a, the size that it has on inputs of
// size 1: a bias is known to the rounding of this, since exporters fold the mean of
// a normalisation, which is as large, into it.
func (c *comparison) typical(p *pair, row int) float64 {
	if c.norms == nil {
		c.norms = paths.Forward(c.a, []float64{2}, paths.Options{Threads: c.threads})
	}
	h := c.norms.H(0, p.node)
	var top float64
	for e := range h {
		if p.a.Out().At(e) == row {
			top = math.Max(top, h[e].Float64())
		}
	}
	return top
}

// edgeName names an edge.
func (c *comparison) edgeName(p *pair, row, col int) string {
	s := fmt.Sprintf("%s, unit %d", c.a.Nodes[p.node].Label(), row)
	if p.rowOf[row] != int32(row) {
		s += fmt.Sprintf(" (%d in the other)", p.rowOf[row])
	}
	if col < 0 {
		return s + ", bias"
	}
	return s + fmt.Sprintf(", input %d", col)
}

// precision returns half the distance of a layer's stored subnormal numbers, as
// the effective weights see it, and the relative precision of its types.
func precision(nd *dag.Node) (quantum, eps float64) {
	for role, u := range nd.Uses() {
		switch role {
		case dag.Weight, dag.Gamma, dag.Factor, dag.Shift:
			eps = math.Max(eps, u.Param.Type.Epsilon())
			quantum = math.Max(quantum, u.Param.Type.Smallest())
		}
	}
	top := 1.0
	for _, s := range nd.Op.(*dag.Linear).Scale() {
		top = math.Max(top, math.Abs(s))
	}
	return quantum * top, eps
}

// biasSizes returns the sum of |terms| that each effective bias is folded from.
func biasSizes(l *dag.Linear) []float64 {
	out := make([]float64, l.Rows())
	for k := range l.Stages {
		s := &l.Stages[k]
		for i := range out {
			if n := s.Norm; n != nil {
				m := math.Abs(n.Gamma.Param.At(i)) / math.Sqrt(n.Var.Param.At(i)+n.Epsilon)
				out[i] = m*(out[i]+math.Abs(n.Mean.Param.At(i))) + math.Abs(n.Beta.Param.At(i))
			}
			if s.Mul != nil {
				out[i] *= math.Abs(s.Mul.At(i))
			}
			if s.Add != nil {
				out[i] += math.Abs(s.Add.At(i))
			}
		}
	}
	return out
}
