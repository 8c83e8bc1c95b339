package lower

import (
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// budgets bound what lowering computes, whatever a file claims: see onnx.md.
type budgets struct {
	// spent counts the elements of reindexings, and an eighth of those of values; folded
	// those of computed constants, of which as many as the file stores times
	// foldedPerStored cost nothing. Both together are bounded: see maxSpent.
	spent, folded, free int
	// computed is what the constants that were computed and that something still needs take,
	// in bytes, budget what they may.
	computed, budget int64
	// multiplied is how many multiplications the products of constants took, multiplications
	// how many they may.
	multiplied, multiplications int64
	// left counts the operands of the graph's nodes still to come, by name; numbers has
	// the numbers of computed constants.
	left    map[string]int
	numbers map[any]*buffer
}

// buffer is the numbers of computed constants: one list, which several can share under
// different shapes.
type buffer struct {
	bytes int64
	names int // constants that have them
	kept  bool
}

// foldedPerStored bounds how many numbers are computed from each stored one at no cost.
// Weights that the graph standardises take some six.
const foldedPerStored = 8

// exhausted reports whether more was computed than any file may ask for.
func (b *budgets) exhausted() bool { return b.spent+max(0, b.folded-b.free) > maxSpent }

// expect counts the operands of all nodes, and what outlives them.
func (l *lowering) expect(order []int) {
	l.allow(l.file)
	l.free = int(min(maxSpent*foldedPerStored, foldedPerStored*storedElements(l.file)))
	l.left, l.numbers = map[string]int{}, map[any]*buffer{}
	for _, k := range order {
		n := &l.graph.Nodes[k]
		inner := map[string]int{}
		countReads(inner, n)
		for name, reads := range inner {
			l.left[name] += reads
		}
		for i, name := range n.Inputs {
			if readsForm(n, i) {
				l.left[name]++
			}
		}
	}
	for _, o := range l.graph.Outputs {
		l.left[o.Name]++
	}
}

// storedElements counts the numbers of the initializers: in the file as many as it has
// bytes, at most.
func storedElements(f *wire.File) int64 {
	var own, external int64
	for i := range f.Graph.Initializers {
		t := &f.Graph.Initializers[i]
		n, err := t.Elems()
		switch {
		case err != nil:
		case t.Encoding == wire.External:
			external += int64(min(n, maxSpent))
		default:
			own += int64(min(n, maxSpent))
		}
	}
	return min(own, f.Size()) + external
}

// hold counts a constant that an operator gives.
func (o *op) hold(t *tensor.Tensor, name string) {
	at := t.Place()
	if at == nil {
		return
	}
	n := o.numbers[at]
	if n == nil {
		n = &buffer{bytes: 8 * int64(t.Size())}
		o.numbers[at] = n
		o.folded += t.Size()
		o.computed += n.bytes
	}
	if n.names++; o.call != nil || o.left[name] == 0 {
		n.kept = true
	}
}

// release gives up the constants that no node still to come reads, after an operator of
// the graph; what became part of a network, its operands where it made nodes, stays.
func (o *op) release(first int) {
	if o.call != nil {
		return
	}
	for k, v := range o.in {
		if v == nil || !v.constant() {
			continue
		}
		n := o.numbers[v.con.Place()]
		if n != nil && len(o.nodes) > first {
			n.kept = true
		}
		name := o.node.Inputs[k]
		if o.left[name]--; o.left[name] > 0 {
			continue
		}
		delete(o.values, name)
		if n == nil {
			continue
		}
		if n.names--; n.names == 0 && !n.kept {
			o.computed -= n.bytes
			delete(o.numbers, v.con.Place())
		}
	}
}
