package rescale

import (
	"context"
	"fmt"
	"math"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/internal/sums"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/internal/words"
)

// deep finds what view.graded does, for networks with paths of many lengths: the b
// of a given c take one read of the weights, and c* is the root of
//
//	f(ln c) = the largest ln b_v of a pinned unit, were its b free, and of groups that
//	meet in a product the mean of both sides' (see pathEnd).
//
// f is convex, and falls at least as fast as -ln c and at most as fast as -d ln c, d
// the largest number of layers on a path: one value of it encloses the root.
type deep struct {
	*view
	p       float64
	threads int
	sweeps  int
	// b of the active groups, from the last value of f; of two groups that meet in a
	// product, the first's here and the other's in inverse.
	b, inverse []scaled.Num
}

// maxRoot bounds the values of f: a third of them halve the interval, which takes
// 64 halvings from all of float64's digits to one.
const maxRoot = 300

// solve returns ln c* and the logarithms of the active groups' factors, of networks
// whose largest norm as they are has the logarithm hi.
func (d *deep) solve(ctx context.Context, hi float64) (lnC float64, z []float64, err error) {
	d.b, d.inverse = make([]scaled.Num, len(d.active)), make([]scaled.Num, len(d.active))
	before, _ := d.depths()
	var depth float64
	for _, x := range before {
		depth = math.Max(depth, x)
	}
	// With c as it is no b is above 1.
	fhi := d.value(hi)
	if math.IsInf(hi, -1) || math.IsInf(fhi, -1) {
		return hi, make([]float64, len(d.b)), nil // nothing leads to a pinned unit
	}
	lo, flo := hi, fhi
	if fhi < 0 {
		lo = hi + fhi
		flo = d.value(lo)
	}
	// What rounds in a value of f is a product of depth factors.
	reached := -depth * 0x1p-52
	near := fhi
	for k := 0; !(near >= reached || math.Nextafter(lo, hi) >= hi); k++ {
		if err := ctx.Err(); err != nil {
			return 0, nil, err
		}
		if k == maxRoot {
			return 0, nil, fmt.Errorf("rescale: no least largest norm found in %s of the weights: it lies between e^%v and e^%v", words.Count(d.sweeps, "read"), lo, hi)
		}
		x := lo + (hi-lo)*flo/(flo-fhi)
		if k%3 == 2 || !(x > lo && x < hi) {
			x = lo + (hi-lo)/2
		}
		// The value that stays at its end is halved, so that the secant passes the root.
		if f := d.value(x); f > 0 {
			lo, flo = x, f
			fhi /= 2
		} else {
			hi, fhi, near = x, f, f
			flo /= 2
		}
	}
	d.value(hi)
	z = make([]float64, len(d.b))
	for k, x := range d.b {
		if z[k] = -x.Ln(); d.paired(int32(k)) {
			z[k] = (d.inverse[k].Ln() - x.Ln()) / 2 // the same norm on both sides
		}
	}
	return hi, z, nil
}

// value returns f and leaves b of that c behind.
func (d *deep) value(lnC float64) float64 {
	d.sweeps++
	inv := scaled.FromLog2(-lnC / math.Ln2)
	var top scaled.Num
	for k := range d.b {
		d.b[k], d.inverse[k] = scaled.Num{}, scaled.Num{}
	}
	for _, y := range d.layers {
		h := make([]scaled.Num, len(y.cols))
		for j, id := range y.cols {
			switch {
			case id == dag.NoGroup:
			case d.index[id] >= 0:
				h[j] = d.b[d.index[id]]
			default:
				h[j] = scaled.One
			}
		}
		for i, x := range y.incoming([]sums.Path{{P: d.p, H: h}}, d.threads)[0] {
			id := y.rows[i]
			if id == dag.NoGroup {
				continue
			}
			if y.bias != nil {
				x = scaled.Plus(x, scaled.New(y.bias[i]), d.p)
			}
			x = x.Mul(inv)
			switch k := d.index[id]; {
			case k < 0:
				top = scaled.Max(top, x)
			case d.sign[id] < 0:
				d.inverse[k] = scaled.Max(d.inverse[k], x)
			default:
				d.b[k] = scaled.Max(d.b[k], x)
			}
		}
	}
	f := top.Ln()
	for k := range d.b {
		if d.paired(int32(k)) {
			f = math.Max(f, (d.b[k].Ln()+d.inverse[k].Ln())/2)
		}
	}
	return f
}
