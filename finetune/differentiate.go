package finetune

import (
	"gonum.org/v1/gonum/floats"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune/internal/engine"
	"github.com/relupath/relupath/finetune/internal/pool"
	"github.com/relupath/relupath/finetune/internal/program"
)

// Differentiate prepares the derivatives of the cross-entropy of a network by some of its
// tensors, in float64, for batches of up to so many examples, with so many goroutines. scores is the node whose value
// are the scores (0: the only one at which the body ends); one score f stands for the scores 0
// and f. Errors: a network that cannot be trained. It is analysis.Options.Differentiate.
func Differentiate(net *dag.Network, scores int, params []*dag.Param, batch, threads int) (analysis.Derivatives, error) {
	prog, err := program.Compile[float64](net, program.Options{Logits: scores})
	if err != nil {
		return nil, err
	}
	d := &derivatives{pool: pool.New(threads), grads: make([][]float64, len(prog.Tensors))}
	d.eng = engine.New(prog, nil, engine.Options{Batch: batch, BLAS: blas.Find(), Pool: d.pool})
	of := map[*dag.Param]int{}
	for t, x := range prog.Tensors {
		of[x.Param] = t
		if !x.Frozen {
			d.grads[t] = make([]float64, len(x.Data))
		}
	}
	for _, p := range params {
		var values, slope []float64
		if t, ok := of[p]; ok && d.grads[t] != nil {
			values, slope = prog.Tensors[t].Data, d.grads[t]
		}
		d.values, d.slope = append(d.values, values), append(d.slope, slope)
	}
	return d, nil
}

// derivatives implements analysis.Derivatives.
type derivatives struct {
	eng           *engine.Engine[float64]
	pool          *pool.Pool
	grads         [][]float64
	values, slope [][]float64
}

func (d *derivatives) Values() [][]float64 { return d.values }

func (d *derivatives) Scores(x []float64, examples int) ([]float64, error) {
	if _, err := d.eng.Evaluate(&engine.Batch[float64]{N: examples, X: x, Labels: make([]int, examples)}); err != nil {
		return nil, err
	}
	return d.eng.Logits(), nil
}

func (d *derivatives) Slope(x []float64, labels []int) ([][]float64, error) {
	if _, err := d.eng.Gradient(&engine.Batch[float64]{N: len(labels), X: x, Labels: labels}, d.grads); err != nil {
		return nil, err
	}
	for _, g := range d.slope {
		floats.Scale(float64(len(labels)), g)
	}
	return d.slope, nil
}

func (d *derivatives) Close() error {
	d.pool.Close()
	return d.eng.Close()
}
