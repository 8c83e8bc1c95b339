package finetune

import (
	"context"
	"fmt"
	"math"
	"runtime"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/rescale"
	"github.com/relupath/relupath/finetune/internal/engine"
	"github.com/relupath/relupath/finetune/internal/program"
)

// normalize returns S / sum(g^2/kappa) as f*2^exp, f in [0.5, 1) with six bits.
// g is the gradient of the batch's loss without dropout, S its squared norm at
// the equivalent network of least sum of squares: see Normalize.
func (c *loop[T]) normalize(ctx context.Context, order []int) (f float64, exp int, err error) {
	b := c.load(c.train, order)
	c.geo.Update()
	grads, err := gradient(c.eng, c.prog, b)
	if err != nil {
		return 0, 0, err
	}
	sum, sumExp := squares(c.prog, c.geo, grads)
	if sum == 0 {
		// Nothing moves whatever the step size is.
		return 1, 0, nil
	}
	res, err := rescale.Run(ctx, rescale.EqualNorm, c.net, rescale.Options{P: 2, Bias: c.opt.Bias, Threads: c.opt.Threads, Tolerance: 1e-9})
	if err != nil {
		return 0, 0, fmt.Errorf("finetune: normalising the step size: %w", err)
	}
	s, ok := rescaledSquares(c.prog, grads, res.Groups, res.Factors)
	if !ok {
		if s, err = c.balancedSquares(res, b); err != nil {
			return 0, 0, err
		}
	}
	// The gradients were as large as the weights and are not needed any more.
	clear(grads)
	runtime.GC()
	f, exp = math.Frexp(s / sum)
	f = math.Round(f*64) / 64
	f, k := math.Frexp(f)
	exp += k - sumExp
	if f == 0 || f-f != 0 {
		return 0, 0, fmt.Errorf("finetune: the step size cannot be normalised: the gradient of the first batch is out of range: give a step size that is not normalised")
	}
	return f, exp, nil
}

// gradient returns the gradient of the batch's mean loss without dropout.
func gradient[T program.Float](eng *engine.Engine[T], prog *program.Program[T], b *engine.Batch[T]) ([][]T, error) {
	grads := make([][]T, len(prog.Tensors))
	for t, x := range prog.Tensors {
		if !x.Frozen {
			grads[t] = make([]T, len(x.Data))
		}
	}
	_, err := eng.Gradient(b, grads)
	return grads, err
}

// rescaledSquares returns ||g||^2 at the network rescaled by c, computed from the
// gradient at the network itself: the derivative by a weight is divided by the
// factor that the weight is multiplied by. ok is false if there are other stored
// numbers than weights and biases of fully connected layers, each used once.
func rescaledSquares[T program.Float](prog *program.Program[T], grads [][]T, g *dag.Groups, c []float64) (sum float64, ok bool) {
	factor := func(ids []int32, i int) float64 {
		if ids[i] == dag.NoGroup {
			return 1
		}
		return c[ids[i]]
	}
	for _, op := range prog.Ops {
		if _, scale := op.(*program.Scale); scale {
			return 0, false
		}
		t, _ := op.Tensor()
		if t < 0 || prog.Tensors[t].Frozen {
			continue
		}
		node := prog.Values[op.Result()].Node
		shift, isShift := op.(*program.Shift)
		dense, isDense := op.(*program.Dense)
		if prog.Tensors[t].Uses != 1 || !isDense && (!isShift || shift.V.Index != nil || len(grads[t]) != len(g.Rows[node])) {
			return 0, false
		}
		for i, v := range grads[t] {
			d := float64(v)
			switch {
			case isDense && dense.InOut:
				d *= factor(g.Cols[node], i/dense.Rows)
				i %= dense.Rows
			case isDense:
				d *= factor(g.Cols[node], i%dense.Cols)
				i /= dense.Cols
			}
			d /= factor(g.Rows[node], i)
			sum += d * d
		}
	}
	return sum, true
}

// balancedSquares is rescaledSquares for any network: it differentiates the
// rescaled one.
func (c *loop[T]) balancedSquares(res *rescale.Result, b *engine.Batch[T]) (float64, error) {
	balanced, err := c.net.Rescale(res.Groups, res.Factors)
	if err != nil {
		return 0, fmt.Errorf("finetune: normalising the step size: %w", err)
	}
	prog, err := program.Compile[T](balanced, c.what)
	if err != nil {
		return 0, fmt.Errorf("finetune: normalising the step size: %w", err)
	}
	eng := engine.New(prog, nil, engine.Options{Batch: b.N, Loss: c.opt.loss(), BLAS: c.opt.BLAS, Pool: c.pool})
	grads, err := gradient(eng, prog, b)
	if err != nil {
		return 0, err
	}
	s, exp := squares(prog, nil, grads)
	return math.Ldexp(s, exp), nil
}
