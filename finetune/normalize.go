package finetune

import (
	"context"
	"fmt"
	"math"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/rescale"
	"github.com/relupath/relupath/finetune/dataset"
	"github.com/relupath/relupath/finetune/internal/engine"
	"github.com/relupath/relupath/finetune/internal/geometry"
	"github.com/relupath/relupath/finetune/internal/native"
	"github.com/relupath/relupath/finetune/internal/program"
)

// normalize returns S / sum(g^2/kappa) as f*2^exp, f in [0.5, 1) with six bits.
// g is the gradient of the batch's loss without dropout, S its squared norm at
// the equivalent network of least sum of squares: see Normalize.
func (c *core[T]) normalize(ctx context.Context, net *dag.Network, set *dataset.Set, order []int) (f float64, exp int, err error) {
	b := c.load(set, order)
	c.geo.Update()
	sum, sumExp, err := c.squaredGradient(c.prog, c.geo, b)
	if err != nil {
		return 0, 0, err
	}
	if sum == 0 {
		// Nothing moves whatever the step size is.
		return 1, 0, nil
	}
	// The gradient at a rescaled network: that of each weight over its factor.
	res, err := rescale.Run(ctx, rescale.EqualNorm, net, rescale.Options{P: 2, Bias: c.opt.Bias, Threads: c.opt.Threads, Tolerance: 1e-9})
	if err != nil {
		return 0, 0, fmt.Errorf("finetune: normalising the step size: %w", err)
	}
	balanced, err := net.Rescale(res.Groups, res.Factors)
	if err != nil {
		return 0, 0, fmt.Errorf("finetune: normalising the step size: %w", err)
	}
	prog, err := program.Compile[T](balanced, program.Options{Output: c.opt.Output, Freeze: c.opt.Freeze})
	if err != nil {
		return 0, 0, fmt.Errorf("finetune: normalising the step size: %w", err)
	}
	s, _, err := c.squaredGradient(prog, nil, b)
	if err != nil {
		return 0, 0, err
	}
	f, exp = math.Frexp(s / sum)
	f = math.Round(f*64) / 64
	f, k := math.Frexp(f)
	exp += k - sumExp
	if f == 0 || f-f != 0 {
		return 0, 0, fmt.Errorf("finetune: the step size cannot be normalised: the gradient of the first batch is out of range: give a step size that is not normalised")
	}
	return f, exp, nil
}

// squaredGradient returns sum g^2/kappa over the trained tensors of a program.
func (c *core[T]) squaredGradient(prog *program.Program[T], geo *geometry.Geometry[T], b *engine.Batch[T]) (f float64, exp int, err error) {
	eng := native.New(prog, native.Options{Batch: b.N, Loss: engine.Loss{Kind: lossKinds[c.opt.Loss], Margin: c.opt.Margin},
		BLAS: c.opt.BLAS, Pool: c.pool})
	grads := make([][]T, len(prog.Tensors))
	for t, x := range prog.Tensors {
		if !x.Frozen {
			grads[t] = make([]T, len(x.Data))
		}
	}
	if _, err := eng.Gradient(b, grads); err != nil {
		return 0, 0, err
	}
	f, exp = squares(prog, geo, grads)
	return f, exp, eng.Close()
}
