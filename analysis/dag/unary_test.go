package dag_test

import (
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/dag"
)

// TestUnary checks what readings rely on: no value is larger than its element times the gain,
// the identity is one, and values are positively homogeneous in the element and the bounds.
func TestUnary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		number := func(name string, lo, hi float64) float64 { return rapid.Float64Range(lo, hi).Draw(t, name) }
		const c = 4 // a power of two, so that nothing rounds
		var op, scaled dag.Unary
		switch rapid.SampledFrom([]string{"activation", "cap", "jump"}).Draw(t, "kind") {
		case "activation":
			a := &dag.Activation{Slope: []float64{number("slope", -3, 3), rapid.SampledFrom([]float64{0, 1}).Draw(t, "slope")}}
			op, scaled = a, a
		case "cap":
			lo, hi := number("lo", -2, 0), number("hi", 0, 2)
			if rapid.Bool().Draw(t, "open") {
				lo, hi = math.Inf(-1), math.Inf(1)
			}
			op, scaled = &dag.Cap{Lo: []float64{lo}, Hi: []float64{hi}}, &dag.Cap{Lo: []float64{c * lo}, Hi: []float64{c * hi}}
		case "jump":
			lo, hi := number("lo", 0, 2), []float64{math.Inf(1)}
			op, scaled = &dag.Cap{Lo: []float64{lo}, Hi: hi, Jump: true}, &dag.Cap{Lo: []float64{c * lo}, Hi: hi, Jump: true}
		}
		gains := op.Gains()
		for i := range 2 {
			x := number("x", -5, 5)
			y, gain := op.Apply(i, x), 1.0
			switch len(gains) {
			case 1:
				gain = gains[0]
			case 2:
				gain = gains[i]
			}
			if math.Abs(y) > gain*math.Abs(x) {
				t.Errorf("%v of %v at element %d, with a gain of %v", y, x, i, gain)
			}
			if op.Identity() && y != x {
				t.Errorf("the identity of %v is %v", x, y)
			}
			const least = 0x1p-1022 // smaller products round
			if got := scaled.Apply(i, c*x); got != c*y && (y == 0 || math.Abs(y) >= least) {
				t.Errorf("%v of %v at element %d, and %v of %v", y, x, i, got, c*x)
			}
		}
	})
}
