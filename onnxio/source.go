package onnxio

import (
	"fmt"
	"math"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// site is where a Use sits in the file: input Input of node Node.
type site struct {
	node, input int
	// swapped says that the operator sees the transpose of the Param.
	swapped bool
	// dims is the shape that the operator sees.
	dims []int
}

// storedTensor is a tensor of the file and what is known of its consumers.
type storedTensor struct {
	wire *wire.Tensor
	// initializer is its index, -1 for a tensor in attribute attribute of node
	// node.
	initializer     int
	node, attribute int
	// hidden says that it is inside a local function or a subgraph.
	hidden bool
	name   string
	param  *dag.Param
	// fixed says that something beside the Uses of param depends on its values,
	// so that they may not change in place.
	fixed bool
	// readers are the operators that read its numbers, or what is computed of them.
	readers []reader
	// lost says that a constant comes from more tensors than it remembers.
	lost bool
}

// asParam returns the Param over the stored values, the same at every call.
func (s *storedTensor) asParam() (*dag.Param, error) {
	if s.param != nil {
		return s.param, nil
	}
	t := s.wire
	dims := make([]int, len(t.Dims))
	for i, d := range t.Dims {
		dims[i] = int(d)
	}
	switch t.DType {
	case wire.Float32:
		v, _, err := t.Float32s()
		if err != nil {
			return nil, err
		}
		s.param = dag.NewParam32(s.name, dag.Float32, dims, v)
	case wire.Float64:
		v, _, err := t.Float64s()
		if err != nil {
			return nil, err
		}
		s.param = dag.NewParam64(s.name, dims, v)
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
		s.param = dag.NewParam32(s.name, typ, dims, v)
	default:
		return nil, refuse("store the weights as float32 or float64", "weight %q is %v", s.name, t.DType)
	}
	if s.hidden {
		s.param.Storage, s.param.Reason = dag.Unwritable, "it is a constant inside a local function or a subgraph"
	}
	s.param.Ref = s
	return s.param, nil
}

// unused says why no layer takes its numbers from a tensor.
func (s *storedTensor) unused() string {
	switch {
	case len(s.readers) > 0:
	case s.lost:
		return fmt.Sprintf("a constant is computed from it and more than %d other tensors", maxSources)
	default:
		return "no output depends on its numbers"
	}
	r := s.readers[0]
	for _, other := range s.readers {
		if r.dead && !other.dead {
			r = other
		}
	}
	switch {
	case r.dead:
		return fmt.Sprintf("%s reads it, which no output needs", r.label)
	case r.why != "":
		return fmt.Sprintf("an operand of %s, a function: %s", r.label, r.why)
	}
	return fmt.Sprintf("a parameter of %s, which has no weights of its own", r.label)
}

// maxSources bounds how many stored tensors a computed constant remembers, and how many
// readers a tensor.
const maxSources = 64

// reader is an operand of an operator that is not folded.
type reader struct {
	at    site
	label string
	// why is the reason of the function that the operator is; empty for others.
	why string
	// first and past are the range of nodes that the operator made.
	first, past int
	dead        bool
}

// boundSite is where a bound of a cap sits in the file: operand input of a node, of shape
// dims, or an attribute of it where input is -1. A bound of no node has node -1.
type boundSite struct {
	node, input int
	dims        []int
}

// capSite is where the bounds of a cap sit.
type capSite struct {
	lo, hi boundSite
	// shape is the full shape of the value.
	shape []int
}

// nowhere is the place of a bound that no node of the file has.
var nowhere = boundSite{node: -1, input: -1}

// none reports whether bounds bound nothing.
func none(b []float64) bool {
	return !slices.ContainsFunc(b, func(x float64) bool { return !math.IsInf(x, 0) })
}
