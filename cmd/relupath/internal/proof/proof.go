package proof

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/words"
)

// DefaultSamples is the number of random inputs, and multiplyAdds the number of
// multiplications with weights that all inputs together may cost when that number
// is not given: less than ten seconds on two cores. Networks that cost more are compared on
// fewer inputs, leastSamples random ones at least.
const (
	DefaultSamples = 64
	multiplyAdds   = 5e10
	leastSamples   = 2
)

// Options tells which inputs to compare on.
type Options struct {
	// Samples is the number of random inputs, normal or places of tables; 0 is DefaultSamples, or as
	// many as multiplyAdds allows.
	Samples int
	// Seed is the seed of the random inputs.
	Seed uint64
	// Inputs has further inputs: a batch for each of the network's inputs, of
	// Batch samples. Nil is none.
	Inputs [][]float64
	Batch  int
	// Threads is the number of goroutines; 0 is one.
	Threads int
	// Tolerance is the largest difference relative to the largest value that asks
	// for no explanation; 0 is Tolerance of the first network.
	Tolerance float64
	// Unrounded, if not nil, makes the second network with the numbers that its stored
	// ones are the roundings of (dag.Network.Unround). Where a difference exceeds the
	// tolerance, that one is compared as well, on the same inputs: what remains of the
	// difference is not the rounding's.
	Unrounded func() (*dag.Network, error)
	// Progress, if not nil, is called after each evaluation of both networks with
	// the number of inputs so far and of all; again from the first where a difference
	// is looked into.
	Progress func(done, all int)
}

// Result is what the comparison found.
type Result struct {
	// Starts are the functions that are not evaluated: both networks had the same random numbers for
	// their values, and what they read was compared as outputs are. Empty where the networks
	// were evaluated end to end.
	Starts []string
	// Cost is the number of multiplications with weights, and one an element, of one input in
	// both networks; Budget what all inputs together were to cost, 0 where Samples was given.
	Cost, Budget float64
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
	// Unexplained is the largest relative difference that is neither within the
	// tolerance nor the rounding of the stored numbers; 0 for none. UnexplainedAt says
	// where it occurred.
	Unexplained   float64
	UnexplainedAt string
	// Undecided lists the outputs that no kind of input but zeros decides, since rounding
	// changes them by more than decisive, and Infinite those without a finite value on
	// any of these kinds.
	Undecided, Infinite []string
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
	// Rounding is the largest relative difference that exceeds the tolerance and is the
	// rounding of the stored numbers; 0 for none.
	Rounding float64
	// Decides says that each output has finite values here, which rounding changes by
	// no more than decisive.
	Decides      bool
	BitIdentical bool
}

// decisive is the largest relative difference by rounding with which an input still
// tells whether two networks compute the same.
const decisive = 0.1

// A difference is the rounding's where what remains of it without rounding is at most
// exactly of the largest value, or residue of the difference: then what else is wrong is
// that much less than the rounding of the stored numbers. Or where it is at most what the
// last digits of float64 make of the first network's own outputs: the largest difference
// of jitters evaluations in which each stored number moves by up to jitter of it, 32
// times the largest rounding.
const (
	exactly = 1e-10
	residue = 0x1p-10
	jitter  = 0x1p-48
	jitters = 2
)

// largeScale is how far beyond unit scale the large inputs lie.
const largeScale = 1e3

// oneHots is the largest number of inputs that have one-hot samples, and of such
// samples for one input.
const oneHots = 8

// maxValues bounds the values of one layer that are held at a time: some tens of layers'
// are, and a batch of more of them is not evaluated faster.
const maxValues = 1 << 20

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
// have the same inputs and outputs. Where functions are not evaluated, the parts between them are:
// see Result.Starts. Errors: networks that differ there, functions that are not evaluated and are not
// the same in both, inputs of the wrong size, a cancelled context. Cost: two evaluations an input.
func Compare(ctx context.Context, a, b *dag.Network, opt Options) (*Result, error) {
	given := len(a.Inputs)
	x, y, starts, err := cut(a, b)
	if err != nil {
		return nil, err
	}
	sizes, err := sameEnds(x, y)
	if err != nil {
		return nil, err
	}
	unit, larges := edges(sizes), 4
	each, budget := cost(x.net)+cost(y.net), 0.0
	if opt.Samples <= 0 {
		budget = multiplyAdds
		opt.Samples, unit, larges = within(budget/each, unit, larges)
	}
	if opt.Tolerance <= 0 {
		opt.Tolerance = Tolerance(a)
	}
	c := &comparison{
		a: x, opt: &opt, sizes: sizes, places: places(x.net),
		res: &Result{Starts: starts, Cost: each, Budget: budget, Samples: opt.Samples, BitIdentical: true},
	}
	for range opt.Samples {
		unit = append(unit, c.drawn(0, 1))
	}
	large := make([]sample, larges)
	for i := range large {
		large[i] = c.drawn(0, largeScale)
	}
	user, err := split(opt.Inputs, opt.Batch, sizes[:given], func() sample { return c.drawn(given, 1) })
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
	if err := c.run(ctx, y, c.kinds); err != nil {
		return nil, err
	}
	if err := c.explain(ctx, y); err != nil {
		return nil, err
	}
	for _, k := range c.kinds {
		c.finish(k)
	}
	c.decide()
	return c.res, nil
}

// side is a network up to the functions that are not evaluated and on from their values, and
// the nodes whose values are compared.
type side struct {
	net  *dag.Network
	ends []int
}

// cut takes two networks apart at the functions that are not evaluated, which are to be the same in
// both, and names these.
func cut(a, b *dag.Network) (x, y side, starts []string, err error) {
	var atA, atB []int
	if x.net, atA, x.ends, err = a.Cut(); err != nil {
		return x, y, nil, err
	}
	if y.net, atB, y.ends, err = b.Cut(); err != nil {
		return x, y, nil, err
	}
	if len(atA) != len(atB) {
		return x, y, nil, fmt.Errorf("proof: %d functions that are not evaluated and %d", len(atA), len(atB))
	}
	for k, i := range atA {
		f, g := &a.Nodes[i], &b.Nodes[atB[k]]
		if !sameFunction(a, b, f, g) {
			return x, y, nil, fmt.Errorf("proof: %s is not evaluated, and is not the same function in both networks", f.Label())
		}
		starts = append(starts, f.Label())
	}
	return x, y, starts, nil
}

// sameFunction compares what two functions that are not evaluated are in their files, where that
// is known, and the layers inside them, bit for bit.
func sameFunction(a, b *dag.Network, x, y *dag.Node) bool {
	f, g := x.Op.(*dag.Func), y.Op.(*dag.Func)
	if x.Source != y.Source || len(x.In) != len(y.In) || f.Inside != g.Inside ||
		f.Definition != nil && g.Definition != nil && !f.Same(g) {
		return false
	}
	for k := len(x.In) - f.Inside; k < len(x.In); k++ {
		v, w := a.Nodes[x.In[k]].Op.(*dag.Linear), b.Nodes[y.In[k]].Op.(*dag.Linear)
		if v.Map == nil || w.Map == nil || !slices.EqualFunc(v.Map.Weight().Param.Values(), w.Map.Weight().Param.Values(),
			func(p, q float64) bool { return math.Float64bits(p) == math.Float64bits(q) }) {
			return false
		}
	}
	return true
}

// sameEnds checks that two networks take and give values of the same sizes and
// returns those of the inputs.
func sameEnds(x, y side) ([]int, error) {
	a, b := x.net, y.net
	if len(a.Inputs) != len(b.Inputs) {
		return nil, fmt.Errorf("proof: %s and %d", words.Count(len(a.Inputs), "input"), len(b.Inputs))
	}
	var sizes []int
	for k, p := range a.Inputs {
		n, m := a.Nodes[p.Node].Len(), b.Nodes[b.Inputs[k].Node].Len()
		if n != m {
			return nil, fmt.Errorf("proof: input %q has %s and %d", p.Name, words.Count(n, "element"), m)
		}
		sizes = append(sizes, n)
	}
	if len(x.ends) != len(y.ends) {
		return nil, fmt.Errorf("proof: %s and %d", words.Count(len(x.ends), "output"), len(y.ends))
	}
	for k, i := range x.ends {
		if n, m := a.Nodes[i].Len(), b.Nodes[y.ends[k]].Len(); n != m {
			return nil, fmt.Errorf("proof: output %s has %s and %d", a.Nodes[i].Label(), words.Count(n, "element"), m)
		}
	}
	return sizes, nil
}
