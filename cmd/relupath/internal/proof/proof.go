package proof

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/relupath/relupath/analysis/dag"
)

// DefaultSamples is the number of random inputs, and MultiplyAdds the number of
// multiplications with weights that all inputs together may cost when that number
// is not given: less than ten seconds on two cores. Networks that cost more are compared on
// fewer inputs, LeastSamples random ones at least.
const (
	DefaultSamples = 64
	MultiplyAdds   = 5e10
	LeastSamples   = 2
)

// Options tells which inputs to compare on.
type Options struct {
	// Samples is the number of normal random inputs; 0 is DefaultSamples, or as
	// many as MultiplyAdds allows.
	Samples int
	// Seed is the seed of the random inputs.
	Seed uint64
	// Inputs has further inputs: a batch for each of the network's inputs, of
	// Batch samples. Nil is none.
	Inputs [][]float64
	Batch  int
	// Threads is the number of goroutines; 0 is one.
	Threads int
	// Progress, if not nil, is called after each evaluation of both networks with
	// the number of inputs so far and of all.
	Progress func(done, all int)
}

// Result is what the comparison found.
type Result struct {
	// Samples is the number of random inputs, Inputs the number of all.
	Samples, Inputs int
	// MaxAbs is the largest difference of two values, MaxRel the largest
	// relative to the largest value of the same output on inputs of the same
	// scale (zero and random, large, the user's).
	MaxAbs, MaxRel float64
	// Kinds has the same for each kind of input.
	Kinds []Kind
	// Where says at which output and on which kind of input MaxRel occurred.
	Where string
	// BitIdentical says that no value differed in any bit.
	BitIdentical bool
}

// Kind is what the comparison found on one kind of input.
type Kind struct {
	// Name is zero; random (normal, all ones, all minus ones, one-hot); large;
	// or given.
	Name           string
	Inputs         int
	MaxAbs, MaxRel float64
	BitIdentical   bool
}

// largeScale is how far beyond unit scale the large inputs lie.
const largeScale = 1e3

// oneHots is the largest number of inputs that have one-hot samples, and of such
// samples for one input.
const oneHots = 8

// maxValues bounds the values of one layer that are held at a time.
const maxValues = 1 << 22

// Tolerance returns the largest relative difference that rounding of the
// stored weights explains: 1e-10 for float64, 1e-5 for float32, 2e-2 where
// float16 or bfloat16 are stored.
func Tolerance(n *dag.Network) float64 {
	tol := 1e-10
	for _, p := range n.Params() {
		switch p.Type {
		case dag.Float32:
			tol = max(tol, 1e-5)
		case dag.Float16, dag.BFloat16:
			tol = max(tol, 2e-2)
		}
	}
	return tol
}

// Compare evaluates both networks and returns the differences. The networks
// have the same inputs and outputs. Errors: networks that differ there, inputs
// of the wrong size, a cancelled context. Cost: two evaluations an input.
func Compare(ctx context.Context, a, b *dag.Network, opt Options) (*Result, error) {
	sizes, err := sameEnds(a, b)
	if err != nil {
		return nil, err
	}
	unit, larges := edges(sizes), 4
	if opt.Samples <= 0 {
		opt.Samples, unit, larges = within(MultiplyAdds/(cost(a)+cost(b)), unit, larges)
	}
	c := &comparison{
		a: a, b: b, threads: opt.Threads, sizes: sizes, progress: opt.Progress,
		res: &Result{Samples: opt.Samples, BitIdentical: true},
	}
	rng := rand.New(rand.NewPCG(opt.Seed, 0))
	for range opt.Samples {
		unit = append(unit, normal(rng, sizes, 1))
	}
	large := make([]sample, larges)
	for i := range large {
		large[i] = normal(rng, sizes, largeScale)
	}
	user, err := split(opt.Inputs, opt.Batch, sizes)
	if err != nil {
		return nil, err
	}
	zero := []sample{fill(sizes, func(int, int) float64 { return 0 })}
	// At zero the biases alone speak, and may cancel: a difference there counts
	// relative to what the outputs are on inputs of unit scale.
	random := c.add("random", unit)
	c.add("zero", zero).floor = random
	c.add("large", large)
	c.add("given", user)
	if err := c.run(ctx); err != nil {
		return nil, err
	}
	for _, k := range c.kinds {
		c.finish(k)
	}
	return c.res, nil
}

// within returns how many random inputs, which of the given ones and how many large
// ones are so many altogether, with one of zeros: all of them if they may be, else
// a quarter given, an eighth large and the rest random.
func within(inputs float64, given []sample, large int) (random int, of []sample, larges int) {
	n := int(min(inputs, float64(DefaultSamples+len(given)+large+1)))
	if n == DefaultSamples+len(given)+large+1 {
		return DefaultSamples, given, large
	}
	given = given[:min(len(given), n/4)]
	large = max(1, min(large, n/8))
	return min(DefaultSamples, max(LeastSamples, n-len(given)-large-1)), given, large
}

// cost returns the number of multiplications with weights of one evaluation, and
// one an element.
func cost(n *dag.Network) float64 {
	c := 0.0
	for i := range n.Nodes {
		nd := &n.Nodes[i]
		c += float64(nd.Len())
		l, ok := nd.Op.(*dag.Linear)
		if !ok {
			continue
		}
		switch m := l.Map.(type) {
		case *dag.Dense:
			a := m.Out()
			c += float64(m.Rows) * float64(m.Cols) * float64(a.Outer*a.Inner)
		case *dag.Conv:
			c += float64(m.W.Param.Len()) * float64(dag.Size(m.Window.Out()))
		}
	}
	return c
}

// sample is one value for each of a network's inputs.
type sample [][]float64

// sameEnds checks that two networks take and give values of the same sizes and
// returns those of the inputs.
func sameEnds(a, b *dag.Network) ([]int, error) {
	if len(a.Inputs) != len(b.Inputs) {
		return nil, fmt.Errorf("proof: %d inputs and %d", len(a.Inputs), len(b.Inputs))
	}
	var sizes []int
	for k, p := range a.Inputs {
		n, m := a.Nodes[p.Node].Len(), b.Nodes[b.Inputs[k].Node].Len()
		if n != m {
			return nil, fmt.Errorf("proof: input %q has %d elements and %d", p.Name, n, m)
		}
		sizes = append(sizes, n)
	}
	outA, outB := a.Boundary(), b.Boundary()
	if len(outA) != len(outB) {
		return nil, fmt.Errorf("proof: %d outputs and %d", len(outA), len(outB))
	}
	for k, i := range outA {
		if n, m := a.Nodes[i].Len(), b.Nodes[outB[k]].Len(); n != m {
			return nil, fmt.Errorf("proof: output %s has %d elements and %d", a.Nodes[i].Label(), n, m)
		}
	}
	return sizes, nil
}

func normal(rng *rand.Rand, sizes []int, scale float64) sample {
	return fill(sizes, func(int, int) float64 { return scale * rng.NormFloat64() })
}

func fill(sizes []int, f func(input, i int) float64) sample {
	s := make(sample, len(sizes))
	for k, n := range sizes {
		s[k] = make([]float64, n)
		for i := range s[k] {
			s[k][i] = f(k, i)
		}
	}
	return s
}

// edges returns ones, minus ones and one-hot inputs spread over the elements of
// oneHots inputs at most, which are spread over all: a sample has a value for every
// input, so one for each would be quadratic in their number.
func edges(sizes []int) []sample {
	var out []sample
	for _, x := range []float64{1, -1} {
		out = append(out, fill(sizes, func(int, int) float64 { return x }))
	}
	hotInputs := min(len(sizes), oneHots)
	for j := range hotInputs {
		k := j * len(sizes) / hotInputs
		n := sizes[k]
		for h := range min(n, oneHots) {
			hot := h * n / min(n, oneHots)
			out = append(out, fill(sizes, func(input, i int) float64 {
				if input == k && i == hot {
					return 1
				}
				return 0
			}))
		}
	}
	return out
}

// split cuts the user's batches into samples.
func split(inputs [][]float64, batch int, sizes []int) ([]sample, error) {
	if inputs == nil {
		return nil, nil
	}
	if len(inputs) != len(sizes) {
		return nil, fmt.Errorf("proof: %d inputs given, the network has %d", len(inputs), len(sizes))
	}
	out := make([]sample, batch)
	for k, n := range sizes {
		if len(inputs[k]) != batch*n {
			return nil, fmt.Errorf("proof: input %d has %d values, want %d samples of %d", k, len(inputs[k]), batch, n)
		}
		for i := range out {
			out[i] = append(out[i], inputs[k][i*n:(i+1)*n])
		}
	}
	return out, nil
}

type comparison struct {
	a, b     *dag.Network
	threads  int
	progress func(done, all int)
	sizes    []int
	kinds    []*kind
	res      *Result
}

// kind gathers what the samples of one kind show.
type kind struct {
	Kind
	samples []sample
	// largest and diff have the largest value and difference of each output.
	largest, diff []float64
	// floor is a kind whose largest values count here too; nil is none.
	floor *kind
}

// add takes samples of a kind; without any it will not be in the result.
func (c *comparison) add(name string, samples []sample) *kind {
	n := len(c.a.Boundary())
	k := &kind{
		Kind: Kind{Name: name, Inputs: len(samples), BitIdentical: true}, samples: samples,
		largest: make([]float64, n), diff: make([]float64, n),
	}
	if len(samples) > 0 {
		c.kinds = append(c.kinds, k)
	}
	return k
}

// run evaluates the samples of all kinds together: a batch costs one read of the
// weights.
func (c *comparison) run(ctx context.Context) error {
	var samples []sample
	var of []*kind
	for _, k := range c.kinds {
		for _, s := range k.samples {
			samples, of = append(samples, s), append(of, k)
		}
	}
	step := c.step()
	for at := 0; at < len(samples); at += step {
		part := samples[at:min(at+step, len(samples))]
		in := make([][]float64, len(c.sizes))
		for _, s := range part {
			for k := range in {
				in[k] = append(in[k], s[k]...)
			}
		}
		y, err := c.a.Eval(ctx, in, len(part), dag.EvalOptions{Threads: c.threads, Values: c.a.Boundary()})
		if err != nil {
			return err
		}
		z, err := c.b.Eval(ctx, in, len(part), dag.EvalOptions{Threads: c.threads, Values: c.b.Boundary()})
		if err != nil {
			return err
		}
		for j := range y {
			n := len(y[j]) / len(part)
			for i := range part {
				k := of[at+i]
				same := values(y[j][i*n:(i+1)*n], z[j][i*n:(i+1)*n], &k.largest[j], &k.diff[j])
				k.BitIdentical = k.BitIdentical && same
			}
		}
		if c.progress != nil {
			c.progress(at+len(part), len(samples))
		}
	}
	return nil
}

// finish adds a kind to the result.
func (c *comparison) finish(k *kind) {
	for j, d := range k.diff {
		largest := k.largest[j]
		if k.floor != nil {
			largest = max(largest, k.floor.largest[j])
		}
		k.MaxAbs = max(k.MaxAbs, d)
		rel := 0.0
		if d > 0 {
			rel = d / largest
		}
		if math.IsNaN(rel) {
			rel = math.Inf(1)
		}
		k.MaxRel = max(k.MaxRel, rel)
		if rel > c.res.MaxRel {
			c.res.MaxRel = rel
			c.res.Where = fmt.Sprintf("%s, on %s inputs", c.a.Nodes[c.a.Boundary()[j]].Label(), k.Name)
		}
	}
	c.res.Kinds = append(c.res.Kinds, k.Kind)
	c.res.Inputs += k.Inputs
	c.res.MaxAbs = max(c.res.MaxAbs, k.MaxAbs)
	c.res.BitIdentical = c.res.BitIdentical && k.BitIdentical
}

// step returns how many samples are evaluated at a time.
func (c *comparison) step() int {
	widest := 1
	for i := range c.a.Nodes {
		widest = max(widest, c.a.Nodes[i].Len())
	}
	return max(1, maxValues/widest)
}

// values compares the values of one output and reports whether they have the
// same bits. Two NaN, and two equal infinities, are equal; NaN beside a number
// is infinitely far.
func values(y, z []float64, largest, diff *float64) (same bool) {
	same = true
	for i, v := range y {
		if math.Float64bits(v) != math.Float64bits(z[i]) {
			same = false
		}
		if v-v == 0 { // an infinite one would make every difference small
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
	return same
}
