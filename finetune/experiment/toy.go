package experiment

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune"
	"github.com/relupath/relupath/finetune/dataset"
)

// toyStart is the network y = w2 max(0, w1 x) with w1 = c, the factor, and w2 = 1/c, and what makes a
// step from there: input 1, step size 1, derivative of the loss by the output -1.
type toyStart struct {
	method finetune.Optimizer
	factor float64
}

// toyStep has the weights after a step, y is the output w1 w2.
type toyStep struct{ w1, w2 float64 }

func (s toyStep) output() float64 { return s.w1 * s.w2 }

// toyFactors are the factors c. The output is 1 before the step whatever c is.
var toyFactors = []float64{1, 2, 5, 10, 20, 50, 100, 200, 500, 1000}

// toy takes the steps. The squared loss with target 2 has the derivative
// y - 2 = -1. Source: N. Srebro's lectures on the geometry of optimization.
func toy(ctx context.Context, l *Lab) (map[toyStart]toyStep, error) {
	// A file, since data sets are read from files.
	path := filepath.Join(l.Dir, "toy.csv")
	if err := os.WriteFile(path, []byte("1,2\n"), 0o666); err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	set, err := dataset.Load(ctx, dataset.Spec{Format: "csv", Paths: []string{path}, Task: dataset.Regression}, dataset.Options{})
	if err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	out := map[toyStart]toyStep{}
	for _, m := range finetune.Optimizers() {
		for _, c := range toyFactors {
			net, err := toyNetwork(c)
			if err != nil {
				return nil, fmt.Errorf("experiment: %w", err)
			}
			t, err := finetune.New(net, set, finetune.Options{
				Optimizer: m, Rate: 1, Normalize: finetune.NormalizeOff,
				Loss: finetune.Squared, Batch: 1, Epochs: 1, Threads: 1,
			})
			if err != nil {
				return nil, err
			}
			res, err := t.Run(ctx)
			if err != nil {
				return nil, err
			}
			p := res.Net.Params()
			out[toyStart{m, c}] = toyStep{p[0].At(0), p[1].At(0)}
		}
	}
	return out, nil
}

// toyNetwork has one unit of incoming weight c and outgoing weight 1/c.
func toyNetwork(c float64) (*dag.Network, error) {
	var b dag.Builder
	hidden := b.Activation("relu", b.Affine("w1", b.Input("x", 1), 1, []float64{c}, nil), 0)
	b.Output("y", b.Affine("w2", hidden, 1, []float64{1 / c}, nil))
	return b.Build()
}

func toyFigure(steps map[toyStart]toyStep) Figure {
	f := Figure{
		Name: "toy", Title: "One step from w1 = c, w2 = 1/c",
		Caption: "The network y = w2 max(0, w1 x) at x = 1 with output 1, step size 1, derivative of the loss by the output -1.",
	}
	out := Panel{Title: "Output after the step", X: "c", Y: "w1 w2", XScale: Log, YScale: Log}
	small := Panel{Title: "Growth of the small weight", X: "c", Y: "w2 after / w2 before", XScale: Log, YScale: Log}
	for k, m := range finetune.Optimizers() {
		f.Legend = append(f.Legend, Key{methodNames[m], k, k})
		a, b := Curve{Key: k}, Curve{Key: k}
		for _, c := range toyFactors {
			s := steps[toyStart{m, c}]
			a.X, b.X = append(a.X, c), append(b.X, c)
			a.Y, b.Y = append(a.Y, s.output()), append(b.Y, s.w2*c)
		}
		out.Curves, small.Curves = append(out.Curves, a), append(small.Curves, b)
	}
	f.Panels = []Panel{out, small}
	return f
}

func toyTable(steps map[toyStart]toyStep) Table {
	t := Table{
		Title: "One step of size 1 from w1 = c, w2 = 1/c (output 1)", Keys: 2,
		Columns: []string{"optimizer", "c", "w1 after", "w2 after", "output after"},
	}
	for _, m := range finetune.Optimizers() {
		for _, c := range []float64{1, 10, 100, 1000} {
			s := steps[toyStart{m, c}]
			t.Add(methodNames[m], int(c), s.w1, s.w2, s.output())
		}
	}
	return t
}

// toyClaims compare the step at c = 100 with that at c = 1.
func toyClaims(steps map[toyStart]toyStep) []Claim {
	gd, path := steps[toyStart{finetune.SGD, 100}], steps[toyStart{finetune.PathSGD, 100}]
	even := steps[toyStart{finetune.PathSGD, 1}]
	return []Claim{
		{
			Text: "Gradient descent blows up the small weight of an unbalanced network.", Source: "Srebro's lecture",
			Criterion: "from w1 = 100, w2 = 0.01 one step makes w2 more than 100 times as large",
			Measured:  fmt.Sprintf("w2 = %.5g after the step, output %.5g, from the balanced start %.5g", gd.w2, gd.output(), steps[toyStart{finetune.SGD, 1}].output()),
			Verdict:   verdict(gd.w2 > 100*0.01),
		},
		{
			Text: "A step of Path-SGD has the same effect however the network is scaled.", Source: "Srebro's lecture",
			Criterion: "the outputs after a step from c = 1 and c = 100 agree to 1e-12",
			Measured:  fmt.Sprintf("output %.5g and %.5g", even.output(), path.output()),
			Verdict:   verdict(within(even.output(), path.output(), 1e-12)),
		},
	}
}

// within reports whether two numbers agree relative to the first.
func within(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance*math.Abs(a) }
