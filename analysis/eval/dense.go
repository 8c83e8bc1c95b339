package eval

import "github.com/relupath/relupath/analysis/dag"

// dense is a matrix that is evaluated.
type dense struct{ *dag.Dense }

// eval multiplies by the matrix from the right, or from the left where positions are
// behind the units.
func (d dense) eval(ev *evaluator, dst, src []float64, fin *finish) {
	samples, n := ev.batch*d.Out().Outer, d.Out().Inner
	if n == 1 {
		p := &packed{
			groups: 1, rows: samples, cols: d.Rows, k: d.Cols, line: d.Rows,
			left:  func(p *pack, _, row, n int) { rowPanels(p, src, d.Cols, row, n) },
			right: func() func(p *pack, g, col, n int) { return func(p *pack, _, col, n int) { d.pack(p, col, n) } },
			units: fin,
		}
		p.eval(ev, dst)
		return
	}
	p := &packed{
		groups: 1, rows: d.Rows, cols: samples * n, k: d.Cols, line: n, skip: d.Rows * n,
		left: func(p *pack, _, row, n int) { d.pack(p, row, n) },
		right: func() func(p *pack, g, col, n int) {
			c := conv{&dag.Conv{InChannels: d.Cols, OutChannels: d.Rows, Groups: 1, Window: dag.NewWindow([]int{n}, []int{1})}}
			return newUnfolding(c, src).pack
		},
		rowUnits: fin,
	}
	p.eval(ev, dst)
}

// pack packs the weights of n units, from the given one on.
func (d dense) pack(p *pack, unit, n int) {
	double, single := d.W.Param.Float64s(), d.W.Param.Float32s()
	switch {
	case double != nil && d.InOut:
		columnPanels(p, double, d.Rows, unit, n)
	case double != nil:
		rowPanels(p, double, d.Cols, unit, n)
	case d.InOut:
		columnPanels(p, single, d.Rows, unit, n)
	default:
		rowPanels(p, single, d.Cols, unit, n)
	}
}
