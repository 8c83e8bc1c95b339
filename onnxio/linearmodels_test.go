package onnxio_test

import (
	"context"
	"math"
	"testing"

	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/onnxio"
)

// A logistic regression of two classes is written as two rows of opposite signs, each
// with its sigmoid: the logits are half of them, whose softmax the sigmoids are.
func TestLogisticOfTwoClasses(t *testing.T) {
	floats := func(name string, v ...float32) field {
		fs := []field{pbString(1, name), pbInt(20, 6)}
		for _, x := range v {
			fs = append(fs, pbFloat(7, x))
		}
		return pbMessage(5, fs...)
	}
	for _, c := range []struct {
		second float32
		logits []float64
	}{
		{-0.5, []float64{0.875, -0.875}},
		{0.5, []float64{1.75, -0.75}}, // no model of two classes, but of two scores
	} {
		m, err := onnxio.Decode(withML(pbModel(8, 17, pbInput("x", -1, 2), pbOutput("p", -1, 2),
			pbNode("LinearClassifier", "c", names("x"), names("label", "p"), pbString(7, "ai.onnx.ml"),
				floats("coefficients", 1, 2, -1, -2), floats("intercepts", 0.5, c.second),
				attrOfInts("classlabels_ints", 0, 1), pbMessage(5, pbString(1, "post_transform"), pbInt(20, 3), pbString(4, "LOGISTIC"))))), onnxio.Options{})
		if err != nil {
			t.Fatal(err)
		}
		x := []float64{0.25, 0.5} // 1.25 before the intercept
		y, err := eval.Run(context.Background(), m.Net, [][]float64{x}, 1, eval.Options{Values: []int{m.Net.Feeds(m.Net.Outputs[0].Node)[0], m.Net.Outputs[0].Node}})
		if err != nil {
			t.Fatal(err)
		}
		for k, z := range []float64{1.75, -1.25 + float64(c.second)} {
			if math.Abs(y[0][k]-c.logits[k]) > 1e-12 || math.Abs(y[1][k]-1/(1+math.Exp(-z))) > 1e-7 {
				t.Errorf("second intercept %v: logits %v, probabilities %v", c.second, y[0], y[1])
			}
		}
	}
}
