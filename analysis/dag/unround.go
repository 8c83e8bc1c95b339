package dag

import (
	"fmt"
	"math"
)

// RescaleUnrounded is Rescale without the rounding of the new numbers to their stored
// types: they are float64, those that stay are as they were. The result computes the
// function of n to float64's rounding, and is for evaluation: it cannot be written.
// Memory: 8 bytes for each number that a factor changes, once it is read.
func (n *Network) RescaleUnrounded(g *Groups, c []float64) (*Network, error) {
	return n.rescale(g, c, &editor{unrounded: true})
}

// Unround returns n, as it was written and read again, with the numbers that its
// stored ones are the roundings of: those of exact, a network of the same nodes that
// RescaleUnrounded made. Everything else, such as functions and how the nodes are
// connected, is n's. Errors: other nodes, a number of n that is not the rounding of
// that of exact.
func (n *Network) Unround(exact *Network) (*Network, error) {
	if len(n.Nodes) != len(exact.Nodes) {
		return nil, fmt.Errorf("dag: %d nodes and %d", len(n.Nodes), len(exact.Nodes))
	}
	to, checked := map[*Use]*Param{}, map[[2]*Param]bool{}
	caps := map[int]*Cap{}
	for i := range n.Nodes {
		a, b := &n.Nodes[i], &exact.Nodes[i]
		if a.Len() != b.Len() {
			return nil, fmt.Errorf("dag: %s has %d values and %d", a.Label(), a.Len(), b.Len())
		}
		var uses []*Use
		for _, u := range b.Uses() {
			uses = append(uses, u)
		}
		k := 0
		for _, u := range a.Uses() {
			if k == len(uses) {
				return nil, fmt.Errorf("dag: %s has other parameters than %s", a.Label(), b.Label())
			}
			p, q := u.Param, uses[k].Param
			if pair := [2]*Param{p, q}; !checked[pair] {
				if err := p.rounds(q); err != nil {
					return nil, fmt.Errorf("dag: %s: %w", a.Label(), err)
				}
				checked[pair] = true
			}
			to[u] = q
			k++
		}
		if k != len(uses) {
			return nil, fmt.Errorf("dag: %s has other parameters than %s", a.Label(), b.Label())
		}
		c, isCap := a.Op.(*Cap)
		d, other := b.Op.(*Cap)
		switch {
		case isCap != other:
			return nil, fmt.Errorf("dag: %s and %s", a.Label(), b.Label())
		case isCap:
			for e := range a.Len() {
				lo, hi := c.Bounds(e)
				lo2, hi2 := d.Bounds(e)
				if !c.Type.rounds(lo, lo2) || !c.Type.rounds(hi, hi2) {
					return nil, fmt.Errorf("dag: %s: bounds %v and %v are not %v and %v rounded", a.Label(), lo, hi, lo2, hi2)
				}
			}
			exact := *c
			exact.Lo, exact.Hi, exact.Type = d.Lo, d.Hi, d.Type
			caps[i] = &exact
		}
	}
	out := n.Replace(func(u *Use) *Param { return to[u] })
	for i, c := range caps {
		out.Nodes[i].Op = c
	}
	return out, nil
}

// rounds returns why p's numbers are not those of q rounded to p's type, nil where
// they are.
func (p *Param) rounds(q *Param) error {
	if p.Len() != q.Len() {
		return fmt.Errorf("param %q has %d numbers, not %d", p.Name, p.Len(), q.Len())
	}
	p.materialize()
	q.materialize()
	for i := range p.Len() {
		if x, y := p.At(i), q.At(i); !p.Type.rounds(x, y) {
			return fmt.Errorf("number %d of param %q is %v, which is not %v rounded", i, p.Name, x, y)
		}
	}
	return nil
}

// rounds reports whether x is y rounded to the type: half the distance of two numbers
// there, and a hair for rounding to float32 on the way to half precision.
func (d DType) rounds(x, y float64) bool {
	return x == y || math.Abs(x-y) <= (0.5+0x1p-10)*max(d.Epsilon()*math.Abs(y), d.Smallest())
}
