package proof

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
)

type comparison struct {
	a   side
	opt *Options
	// sizes and places are how many elements each input has, and of how many places of a
	// table each of these names one; 0 where they name none.
	sizes, places []int
	kinds         []*kind
	res           *Result
	draws         uint64 // so far
	buffers       eval.Buffers
}

// kind gathers what the samples of one kind show.
type kind struct {
	Kind
	samples []sample
	// largest and diff have the largest value and difference of each output, finite
	// whether there was a finite value.
	largest, diff []float64
	finite        []bool
	// floor is a kind whose largest values count here too; nil is none.
	floor *kind
	// exact has the differences without rounding, noise those of the first network from
	// itself with other last digits of float64; nil where nobody asked.
	exact, noise *kind
}

// add takes samples of a kind; without any it will not be in the result.
func (c *comparison) add(name string, samples []sample) *kind {
	k := c.kind(name, samples)
	if len(samples) > 0 {
		c.kinds = append(c.kinds, k)
	}
	return k
}

func (c *comparison) kind(name string, samples []sample) *kind {
	n := len(c.a.ends)
	return &kind{
		Kind: Kind{Name: name, Inputs: len(samples), Decides: true, BitIdentical: true}, samples: samples,
		largest: make([]float64, n), diff: make([]float64, n), finite: make([]bool, n),
	}
}

// run evaluates the samples of kinds together, on a and on b: a batch costs one read
// of the weights.
func (c *comparison) run(ctx context.Context, b side, kinds []*kind) error {
	var samples []sample
	var of []*kind
	for _, k := range kinds {
		for _, s := range k.samples {
			samples, of = append(samples, s), append(of, k)
		}
	}
	step := c.step()
	for at := 0; at < len(samples); at += step {
		part := samples[at:min(at+step, len(samples))]
		in := make([][]float64, len(c.sizes))
		for i, s := range part {
			for k, v := range s() {
				if i == 0 {
					in[k] = make([]float64, 0, len(part)*len(v))
				}
				in[k] = append(in[k], v...)
			}
		}
		y, err := eval.Run(ctx, c.a.net, in, len(part), eval.Options{Threads: c.opt.Threads, Values: c.a.ends, Buffers: &c.buffers})
		if err != nil {
			return err
		}
		z, err := eval.Run(ctx, b.net, in, len(part), eval.Options{Threads: c.opt.Threads, Values: b.ends, Buffers: &c.buffers})
		if err != nil {
			return err
		}
		for j := range y {
			n := len(y[j]) / len(part)
			for i := range part {
				k := of[at+i]
				finite, same := values(y[j][i*n:(i+1)*n], z[j][i*n:(i+1)*n], &k.largest[j], &k.diff[j])
				k.finite[j] = k.finite[j] || finite || n == 0
				k.BitIdentical = k.BitIdentical && same
			}
		}
		c.buffers.Give(y)
		c.buffers.Give(z)
		if c.opt.Progress != nil {
			c.opt.Progress(at+len(part), len(samples))
		}
	}
	return nil
}

// explain compares once more, without rounding, on the kinds of input where a
// difference exceeds the tolerance; and where something remains, it asks how far other
// last digits of float64 would move the first network's outputs. A network whose numbers
// are not the roundings of what they should be leaves everything unexplained.
func (c *comparison) explain(ctx context.Context, b side) error {
	if c.opt.Unrounded == nil {
		return nil
	}
	again := c.unexplained()
	if len(again) == 0 {
		return nil
	}
	var exact side
	net, err := c.opt.Unrounded()
	if err == nil {
		exact.net, _, exact.ends, err = net.Cut()
	}
	if err == nil {
		_, err = sameEnds(b, exact)
	}
	if err != nil {
		return nil // unexplained
	}
	var kinds []*kind
	for _, k := range again {
		k.exact = c.kind(k.Name, k.samples)
		kinds = append(kinds, k.exact)
	}
	if err := c.run(ctx, exact, kinds); err != nil {
		return err
	}
	rng := rand.New(rand.NewPCG(c.opt.Seed, jitterStream))
	for range jitters {
		kinds = nil
		for _, k := range c.unexplained() {
			if k.noise == nil {
				k.noise = c.kind(k.Name, k.samples)
			}
			kinds = append(kinds, k.noise)
		}
		if len(kinds) == 0 {
			break
		}
		if err := c.run(ctx, side{jittered(c.a.net, rng), c.a.ends}, kinds); err != nil {
			return err
		}
	}
	return nil
}

// unexplained returns the kinds of input with a difference that is neither within the
// tolerance nor rounding.
func (c *comparison) unexplained() []*kind {
	var out []*kind
	for _, k := range c.kinds {
		for j := range c.a.ends {
			if !(c.relative(k, j) <= c.opt.Tolerance) && !c.rounding(k, j) {
				out = append(out, k)
				break
			}
		}
	}
	return out
}

// jittered returns a network with every stored number moved at random by up to jitter
// of it, in float64.
func jittered(n *dag.Network, rng *rand.Rand) *dag.Network {
	done := map[*dag.Param]*dag.Param{}
	return n.Replace(func(u *dag.Use) *dag.Param {
		p := done[u.Param]
		if p == nil {
			v := u.Param.Values()
			for i, x := range v {
				v[i] = x * (1 + jitter*(2*rng.Float64()-1))
			}
			p = dag.NewParam64(u.Param.Name, u.Param.Shape, v)
			done[u.Param] = p
		}
		return p
	})
}

// top returns the largest value of an output that counts on a kind of input.
func (k *kind) top(output int) float64 {
	if k.floor != nil {
		return max(k.largest[output], k.floor.largest[output])
	}
	return k.largest[output]
}

// relative returns the difference of an output relative to its largest value; infinite
// where there is none.
func (c *comparison) relative(k *kind, output int) float64 {
	if k.diff[output] == 0 {
		return 0
	}
	rel := k.diff[output] / k.top(output)
	if math.IsNaN(rel) {
		return math.Inf(1)
	}
	return rel
}

// rounding reports whether a difference is that of rounding.
func (c *comparison) rounding(k *kind, output int) bool {
	if k.exact == nil {
		return false
	}
	left, limit := k.exact.diff[output], exactly*k.top(output)
	if d := k.diff[output]; !math.IsInf(d, 1) {
		limit = max(limit, residue*d)
	}
	if k.noise != nil {
		limit = max(limit, k.noise.diff[output])
	}
	return left <= limit
}

// finish adds a kind to the result.
func (c *comparison) finish(k *kind) {
	for j, d := range k.diff {
		rel := c.relative(k, j)
		k.MaxAbs, k.MaxRel = max(k.MaxAbs, d), max(k.MaxRel, rel)
		where := fmt.Sprintf("%s, on %s inputs", c.a.net.Nodes[c.a.ends[j]].Label(), k.Name)
		if rel > c.res.MaxRel {
			c.res.MaxRel, c.res.Where = rel, where
		}
		switch {
		case rel <= c.opt.Tolerance:
		case c.rounding(k, j):
			k.Rounding = max(k.Rounding, rel)
		case rel > c.res.Unexplained:
			c.res.Unexplained, c.res.UnexplainedAt = rel, where
		}
		k.Decides = k.Decides && c.decides(k, j)
	}
	c.res.Kinds = append(c.res.Kinds, k.Kind)
	c.res.Inputs += k.Inputs
	c.res.MaxAbs = max(c.res.MaxAbs, k.MaxAbs)
	c.res.BitIdentical = c.res.BitIdentical && k.BitIdentical
}

// decides reports whether a kind of input tells anything of an output.
func (c *comparison) decides(k *kind, output int) bool {
	rel := c.relative(k, output)
	return k.finite[output] && (rel <= max(c.opt.Tolerance, decisive) || !c.rounding(k, output))
}

// decide lists the outputs that no kind but zeros decides.
func (c *comparison) decide() {
	for j, node := range c.a.ends {
		decided, finite := false, false
		for _, k := range c.kinds {
			if k.floor == nil {
				decided, finite = decided || c.decides(k, j), finite || k.finite[j]
			}
		}
		label := c.a.net.Nodes[node].Label()
		switch {
		case !finite:
			c.res.Infinite = append(c.res.Infinite, label)
		case !decided:
			c.res.Undecided = append(c.res.Undecided, label)
		}
	}
}

// step returns how many samples are evaluated at a time.
func (c *comparison) step() int {
	widest := 1
	for i := range c.a.net.Nodes {
		widest = max(widest, c.a.net.Nodes[i].Len())
	}
	return max(1, maxValues/widest)
}

// values compares the values of one output and reports whether one of the first is
// finite, and whether they have the same bits. Two NaN, and two equal infinities, are
// equal; NaN beside a number is infinitely far.
func values(y, z []float64, largest, diff *float64) (finite, same bool) {
	same = true
	for i, v := range y {
		if math.Float64bits(v) != math.Float64bits(z[i]) {
			same = false
		}
		if v-v == 0 { // an infinite one would make every difference small
			finite = true
			*largest = max(*largest, math.Abs(v))
		}
		switch {
		case v == z[i] || math.IsNaN(v) && math.IsNaN(z[i]):
		case math.IsNaN(v - z[i]):
			*diff = math.Inf(1)
		default:
			*diff = max(*diff, math.Abs(v-z[i]))
		}
	}
	return finite, same
}
