package render

import (
	"bytes"
	"math"
	"testing"

	"github.com/relupath/relupath/analysis/scaled"
)

// TestFarAxes: numbers that are one, that differ in their last digits, or that lie
// where float64 has no whole numbers, have an axis with a few marks.
func TestFarAxes(t *testing.T) {
	far := scaled.Num{Frac: 0.5, Exp: 1 << 60} // its logarithm is near 3e17
	for _, v := range [][]scaled.Num{
		{scaled.New(0)},
		{scaled.New(1e154), scaled.New(1e154)},
		{scaled.New(1), scaled.New(1 + 0x1p-52)},
		{scaled.New(math.MaxFloat64), scaled.New(-math.MaxFloat64)},
		{scaled.New(math.SmallestNonzeroFloat64), scaled.New(1)},
		{far, far},
		{far, far.Scale(40)},
		{far, scaled.New(1)},
	} {
		series := []Series{{Name: "a", Values: v}}
		names, x := make([]string, len(v)), make([]float64, len(v))
		for i := range x {
			names[i], x[i] = string(rune('a'+i)), 1e17*float64(1+i)
		}
		for _, f := range []Figure{
			{Name: "f", Chart: &Bars{Categories: names, Series: series}},
			{Name: "f", Chart: &Lines{X: x, Series: series}},
		} {
			var b bytes.Buffer
			if err := WriteFigure(&b, &f, "svg"); err != nil || b.Len() == 0 {
				t.Errorf("%v: %d bytes, %v", v, b.Len(), err)
			}
		}
	}
}
