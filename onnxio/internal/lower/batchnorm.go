package lower

import (
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
)

func lowerBatchNormalization(o *op, v *value) error {
	var err error
	if v.constant() && o.int("training_mode", 0) != 0 {
		return o.foldBatchStatistics(v.con)
	}
	if v, err = o.materialize(v); err != nil {
		return err
	}
	if len(v.shape) < 2 {
		return refusal.New("", "it normalises a vector")
	}
	if o.int("training_mode", 0) != 0 || (o.opset < 14 && o.outputsUsed() > 1) {
		return refusal.New("export the model in evaluation mode", "it computes statistics of the batch (training mode)")
	}
	if o.int("spatial", 1) == 0 && len(v.shape) > 2 {
		return refusal.New("", "spatial=0 normalises each position on its own")
	}
	if v.shape[1] == tensor.BatchDim {
		return refusal.MixesBatch("it normalises along the batch axis")
	}
	bn := &dag.BatchNorm{Epsilon: o.float("epsilon", 1e-5)}
	for k, u := range []*dag.Use{&bn.Gamma, &bn.Beta, &bn.Mean, &bn.Var} {
		t, err := o.constant(k+1, [...]string{"scale", "B", "mean", "var"}[k])
		if err != nil {
			return err
		}
		if t.Size() != v.shape[1] {
			return refusal.New("", "%s for %s", words.Count(t.Size(), "value"), words.Count(v.shape[1], "channel"))
		}
		if *u, err = o.use(t, k+1); err != nil {
			return err
		}
	}
	stage := dag.Stage{Norm: bn}
	axis := tensor.Around(v.shape, 1)
	if lin := o.foldable(v); lin != nil && lin.Out() == axis {
		lin.Stages = append(lin.Stages, stage)
		delete(o.facts, v.node)
		o.nodes[v.node].Source += "+" + opLabel(o.node)
		o.give(0, v)
		return nil
	}
	out := o.emit(&dag.Linear{Map: &dag.Diagonal{Axis: axis}, Stages: []dag.Stage{stage}}, v.shape, v)
	o.unitAxes[out.node] = []int{1}
	o.give(0, out)
	return nil
}

func (o *op) outputsUsed() int {
	n := 0
	for _, name := range o.node.Outputs {
		if name != "" {
			n++
		}
	}
	return n
}

// foldBatchStatistics normalises a constant by its own mean and variance a channel,
// as a standardised weight is written.
func (o *op) foldBatchStatistics(t *tensor.Tensor) error {
	if len(t.Dims) < 2 || t.Size() == 0 {
		return refusal.New("", "it normalises a constant of shape %v", t.Dims)
	}
	x, err := t.Float64s()
	if err != nil {
		return err
	}
	out := slices.Clone(x)
	c, inner := t.Dims[1], dag.Size(t.Dims[2:])
	var scale [2][]float64
	for k, what := range []string{"scale", "B"} {
		if scale[k], err = o.floatsAt(k+1, what); err != nil {
			return err
		}
		if len(scale[k]) != c {
			return refusal.New("", "%s for %s", words.Count(len(scale[k]), "value"), words.Count(c, "channel"))
		}
	}
	for k := range c {
		var run []float64
		for q := range t.Dims[0] {
			run = append(run, x[(q*c+k)*inner:][:inner]...)
		}
		m, s := meanVariance(o.float("epsilon", 1e-5))(run)
		for q := range t.Dims[0] {
			y := out[(q*c+k)*inner:][:inner]
			for i, z := range y {
				y[i] = (z-m)/s*scale[0][k] + scale[1][k]
			}
		}
	}
	o.giveTensor(tensor.NewTensor(t.DataType(), t.Dims, out))
	return nil
}
