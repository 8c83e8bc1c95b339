package source

import (
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// Site is where a Use sits in the file: input Input of node Node.
type Site struct {
	Node, Input int
	// Swapped says that the operator sees the transpose of the Param.
	Swapped bool
	// Turns are the permutations, one after the other, by which the Param came of what the
	// operator sees.
	Turns []Turn
	// Dims is the shape that the operator sees.
	Dims []int
}

// Turn is a permutation of the axes of numbers of some shape: axis i of the result is axis Perm[i].
type Turn struct{ Dims, Perm []int }

// Undo returns the shape of the result and the permutation back.
func (t Turn) Undo() Turn {
	back := Turn{make([]int, len(t.Perm)), make([]int, len(t.Perm))}
	for i, p := range t.Perm {
		back.Dims[i], back.Perm[p] = t.Dims[p], i
	}
	return back
}

// Tensor is a tensor of the file and what is known of its consumers.
type Tensor struct {
	Wire *wire.Tensor
	// Initializer is its index, -1 for a tensor in attribute attribute of node
	// node.
	Initializer     int
	Node, Attribute int
	// Hidden says that it is inside a local function or a subgraph.
	Hidden bool
	Name   string
	Param  *dag.Param
	// Fixed says that something beside the Uses of param depends on its values,
	// so that they may not change in place.
	Fixed bool
	// Readers are the operators that read its numbers, or what is computed of them.
	Readers []Reader
	// Lost says that a constant comes from more tensors than it remembers.
	Lost bool
}

// AsParam returns the Param over the stored values, the same at every call.
func (s *Tensor) AsParam() (*dag.Param, error) {
	if s.Param != nil {
		return s.Param, nil
	}
	t := s.Wire
	dims := lists.Convert[int](t.Dims)
	switch t.DType {
	case wire.Float32:
		v, _, err := t.Float32s()
		if err != nil {
			return nil, err
		}
		s.Param = dag.NewParam32(s.Name, dag.Float32, dims, v)
	case wire.Float64:
		v, _, err := t.Float64s()
		if err != nil {
			return nil, err
		}
		s.Param = dag.NewParam64(s.Name, dims, v)
	case wire.Float16, wire.BFloat16:
		bits, err := t.Halves()
		if err != nil {
			return nil, err
		}
		v := make([]float32, len(bits))
		typ, widen := dag.Float16, dag.Float16ToFloat32
		if t.DType == wire.BFloat16 {
			typ, widen = dag.BFloat16, dag.BFloat16ToFloat32
		}
		for i, b := range bits {
			v[i] = widen(b)
		}
		s.Param = dag.NewParam32(s.Name, typ, dims, v)
	default:
		return nil, refusal.New("store the weights as float32 or float64", "weight %q is %v", s.Name, t.DType)
	}
	if s.Hidden {
		s.Param.Storage, s.Param.Reason = dag.Unwritable, "it is a constant inside a local function or a subgraph"
	}
	s.Param.Ref = s
	return s.Param, nil
}

// Unused says why no layer takes its numbers from a tensor.
func (s *Tensor) Unused() string {
	switch {
	case len(s.Readers) > 0:
	case s.Lost:
		return fmt.Sprintf("a constant is computed from it and more than %d other tensors", MaxSources)
	default:
		return "no output depends on its numbers"
	}
	r := s.Readers[0]
	for _, other := range s.Readers {
		if r.Dead && !other.Dead {
			r = other
		}
	}
	switch {
	case r.Dead:
		return fmt.Sprintf("%s reads it, which no output needs", r.Label)
	case r.Why != "":
		return fmt.Sprintf("an operand of %s, a function: %s", r.Label, r.Why)
	}
	return fmt.Sprintf("a parameter of %s, which has no weights of its own", r.Label)
}

// MaxSources bounds how many stored tensors a computed constant remembers, and how many
// readers a tensor.
const MaxSources = 64

// Reader is an operand of an operator that is not folded.
type Reader struct {
	At    Site
	Label string
	// Why is the reason of the function that the operator is; empty for others.
	Why string
	// First and past are the range of nodes that the operator made.
	First, Past int
	Dead        bool
}

// Bound is where a bound of a cap sits in the file: operand input of a node, of shape
// dims, or an attribute of it where input is -1. A bound of no node has node -1.
type Bound struct {
	Node, Input int
	Dims        []int
}

// Cap is where the bounds of a cap sit.
type Cap struct {
	Lo, Hi Bound
	// Shape is the full shape of the value.
	Shape []int
}

// Nowhere is the place of a bound that no node of the file has.
var Nowhere = Bound{Node: -1, Input: -1}

// None reports whether bounds bound nothing.
func None(b []float64) bool {
	return !slices.ContainsFunc(b, func(x float64) bool { return !math.IsInf(x, 0) })
}
