package proof

import (
	"fmt"
	"math/rand/v2"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
)

// sample makes one value for each of a network's inputs. It is called where they are evaluated, with
// the same numbers each time: those of all samples would be many times what a network of pictures is.
type sample func() [][]float64

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
	return min(DefaultSamples, max(leastSamples, n-len(given)-large-1)), given, large
}

// perRead is what an element of a value costs, and one that a pooling reads, in multiplications of a
// matrix product.
const perRead = 4

// cost returns the number of multiplications with weights of one evaluation, and perRead for each
// element and for each that poolings read.
func cost(n *dag.Network) float64 {
	c := 0.0
	for i := range n.Nodes {
		c += perRead * float64(n.Nodes[i].Len())
	}
	for nd, l := range dag.Each[*dag.Linear](n) {
		if l.Map == nil {
			continue
		}
		if u := l.Map.Weight(); u != nil {
			c += float64(u.Param.Len()) * float64(l.Map.Positions())
		} else if w, _ := l.Map.Slides(); w != nil { // a mean
			c += perRead * float64(nd.Len()) * float64(dag.Size(w.Kernel))
		}
	}
	for nd, p := range dag.Each[*dag.Pool](n) {
		if p.Window != nil {
			c += perRead * float64(nd.Len()) * float64(dag.Size(p.Window.Kernel))
		}
	}
	return c
}

// drawn returns normal numbers for the inputs from the given one on, and places of a table for those
// that name places of one. No two of a comparison draw the same.
func (c *comparison) drawn(from int, scale float64) sample {
	c.draws++
	stream := drawnStream + c.draws
	return func() [][]float64 {
		rng := rand.New(rand.NewPCG(c.opt.Seed, stream))
		return fill(c.sizes[from:], func(k, _ int) float64 {
			if n := c.places[from+k]; n > 0 {
				return float64(rng.IntN(n))
			}
			return scale * rng.NormFloat64()
		})()
	}
}

// Streams of random numbers: of the last digits that move, and before those of the samples.
const (
	jitterStream = 1
	drawnStream  = 1
)

// places returns for each input how many places the tables have that its elements name, the least
// where there are several; 0 for an input that names none.
func places(n *dag.Network) []int {
	of := make([]int, len(n.Nodes))
	name := func(j, places int) {
		if of[j] == 0 || places < of[j] {
			of[j] = places
		}
	}
	for i := len(n.Nodes) - 1; i >= 0; i-- {
		nd := &n.Nodes[i]
		if f, ok := nd.Op.(*dag.Func); ok && f.Extent > 0 {
			for _, j := range nd.In {
				name(j, f.Extent)
			}
		} else if of[i] > 0 && nd.Moves() {
			for _, j := range nd.In {
				name(j, of[i])
			}
		}
	}
	return lists.Map(n.Inputs, func(p dag.Port) int { return of[p.Node] })
}

func fill(sizes []int, f func(input, i int) float64) sample {
	return func() [][]float64 {
		s := make([][]float64, len(sizes))
		for k, n := range sizes {
			s[k] = make([]float64, n)
			for i := range s[k] {
				s[k][i] = f(k, i)
			}
		}
		return s
	}
}

// edges returns ones, minus ones and one-hot inputs spread over the elements of
// oneHots inputs at most, which are spread over all: a sample has a value for every
// input, so one for each would be quadratic in their number.
func edges(sizes []int) []sample {
	out := lists.Map([]float64{1, -1}, func(x float64) sample { return fill(sizes, func(int, int) float64 { return x }) })
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

// split cuts the user's batches into samples, with what rest makes for the inputs behind them.
func split(inputs [][]float64, batch int, sizes []int, rest func() sample) ([]sample, error) {
	if inputs == nil {
		return nil, nil
	}
	if len(inputs) != len(sizes) {
		return nil, fmt.Errorf("proof: %s given, the network has %d", words.Count(len(inputs), "input"), len(sizes))
	}
	for k, n := range sizes {
		if len(inputs[k]) != batch*n {
			return nil, fmt.Errorf("proof: input %d has %s, want %d samples of %d", k, words.Count(len(inputs[k]), "value"), batch, n)
		}
	}
	out := make([]sample, batch)
	for i := range out {
		behind := rest()
		out[i] = func() (s [][]float64) {
			for k, n := range sizes {
				s = append(s, inputs[k][i*n:(i+1)*n])
			}
			return append(s, behind()...)
		}
	}
	return out, nil
}
