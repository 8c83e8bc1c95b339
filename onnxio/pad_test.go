package onnxio_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/analysis/eval"
)

// TestPadsThatCut: an axis that is cut at one end and padded at the other is padded with what is
// left. The numbers are those of ONNX Runtime 1.32 for 0, 1, 2, 3.
func TestPadsThatCut(t *testing.T) {
	for _, c := range []struct {
		mode        string
		begin, ends int64
		want        []float64
	}{
		{"wrap", -1, 2, []float64{1, 2, 3, 1, 2}},
		{"wrap", 2, -1, []float64{1, 2, 0, 1, 2}},
		{"wrap", 5, -2, []float64{1, 0, 1, 0, 1, 0, 1}},
		{"reflect", -1, 2, []float64{1, 2, 3, 2, 1}},
		{"edge", -2, 5, []float64{2, 3, 3, 3, 3, 3, 3}},
		{"constant", 2, -1, []float64{0, 0, 0, 1, 2}},
		{"constant", -4, 1, []float64{0}},
		{"wrap", -2, 0, []float64{2, 3}},
	} {
		m := decode(t, pbModel(8, 19, pbInput("x", 1, 4), pbOutput("y", 1, int64(len(c.want))),
			pbIntegers("p", 0, c.begin, 0, c.ends), pbNode("Pad", "", names("x", "p"), names("y"), attrOfString("mode", c.mode))))
		y, err := eval.Run(t.Context(), m, [][]float64{{0, 1, 2, 3}}, 1, eval.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, y[0]); diff != "" {
			t.Errorf("%s %d, %d (-want +got)\n%s", c.mode, c.begin, c.ends, diff)
		}
	}
}
