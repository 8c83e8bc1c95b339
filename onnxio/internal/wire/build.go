package wire

import (
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxMessage is the size that readers of protocol buffers accept.
const maxMessage = math.MaxInt32

// NewTensor returns a tensor that is in no file yet, for [Build]. The payload
// writes its elements in raw form.
func NewTensor(name string, typ DataType, dims []int64, payload Payload) Tensor {
	return Tensor{Name: name, DType: typ, Dims: dims, Encoding: Raw, payload: payload}
}

// Build writes a new model, fields in the order of their numbers, and returns
// the number of bytes. Tensors are stored as raw_data, whether they come from
// [NewTensor] or from a File that is open; their payloads are made while
// writing. Subgraphs, sparse initializers, tensors of strings, types that
// are no dense tensor's and local functions cannot be written: an error names
// the first.
func Build(w io.Writer, m *Model, g *Graph) (int64, error) {
	var r rope
	e := encoder{}
	e.model(&r, m, g)
	if e.err != nil {
		return 0, e.err
	}
	if r.size > maxMessage {
		return 0, &Error{Offset: -1, Msg: "the model is larger than 2 GiB, the limit of its format"}
	}
	return r.writeTo(w)
}

// encoder builds messages; its first error sticks.
type encoder struct{ err error }

func (e *encoder) fail(path, msg string) {
	if e.err == nil {
		e.err = &Error{Path: path, Offset: -1, Msg: msg}
	}
}

func (e *encoder) model(r *rope, m *Model, g *Graph) {
	if len(m.Functions) > 0 {
		e.fail("functions", "local functions cannot be written to a new model")
	}
	if m.IRVersion != 0 {
		r.varint(1, uint64(m.IRVersion))
	}
	r.optional(2, m.ProducerName)
	r.optional(3, m.ProducerVersion)
	r.optional(4, m.Domain)
	if m.ModelVersion != 0 {
		r.varint(5, uint64(m.ModelVersion))
	}
	r.optional(6, m.DocString)
	r.message(7, func(r *rope) { e.graph(r, g) })
	for _, o := range m.OpsetImports {
		r.message(8, func(r *rope) {
			r.string(1, o.Domain)
			r.varint(2, uint64(o.Version))
		})
	}
	for _, x := range m.Metadata {
		r.message(14, x.encode)
	}
}

func (x Entry) encode(r *rope) {
	r.string(1, x.Key)
	r.string(2, x.Value)
}

func (e *encoder) graph(r *rope, g *Graph) {
	if len(g.SparseInitializers) > 0 {
		e.fail("graph.sparse_initializer", "sparse initializers cannot be written to a new model")
	}
	for i := range g.Nodes {
		r.message(1, func(r *rope) { e.node(r, &g.Nodes[i]) })
	}
	r.optional(2, g.Name)
	for i := range g.Initializers {
		r.message(5, func(r *rope) { e.tensor(r, &g.Initializers[i]) })
	}
	r.optional(10, g.DocString)
	e.values(r, 11, g.Inputs)
	e.values(r, 12, g.Outputs)
	e.values(r, 13, g.ValueInfo)
}

func (e *encoder) values(r *rope, num protowire.Number, v []ValueInfo) {
	for i := range v {
		if v[i].Kind != "" {
			e.fail("value \""+v[i].Name+"\"", "the type "+v[i].Kind+" cannot be written to a new model")
		}
		r.message(num, v[i].encode)
	}
}

func (e *encoder) node(r *rope, n *Node) {
	r.strings(1, n.Inputs)
	r.strings(2, n.Outputs)
	r.optional(3, n.Name)
	r.string(4, n.OpType)
	for i := range n.Attributes {
		r.message(5, func(r *rope) { e.attribute(r, &n.Attributes[i]) })
	}
	r.optional(7, n.Domain)
	r.optional(8, n.Overload)
}

func (e *encoder) attribute(r *rope, a *Attribute) {
	r.string(1, a.Name)
	switch a.Type {
	case AttrFloat:
		r.float(2, a.F)
	case AttrInt:
		r.varint(3, uint64(a.I))
	case AttrString:
		r.string(4, string(a.S))
	case AttrTensor:
		if a.T == nil {
			e.fail("attribute \""+a.Name+"\"", "its tensor is missing")
			return
		}
		r.message(5, func(r *rope) { e.tensor(r, a.T) })
	case AttrFloats:
		for _, v := range a.Floats {
			r.float(7, v)
		}
	case AttrInts:
		for _, v := range a.Ints {
			r.varint(8, uint64(v))
		}
	case AttrStrings:
		for _, v := range a.Strings {
			r.string(9, string(v))
		}
	default:
		e.fail("attribute \""+a.Name+"\"", "only numbers, strings, lists of them and one tensor can be written")
	}
	r.varint(20, uint64(a.Type))
	r.optional(21, a.RefAttrName)
}

func (e *encoder) tensor(r *rope, t *Tensor) {
	if t.DType == Undefined && t.payload == nil && t.file == nil {
		// A name alone, as in a skeleton.
		r.string(8, t.Name)
		return
	}
	size, err := t.size()
	if err != nil {
		if e.err == nil {
			e.err = err
		}
		return
	}
	p := t.payload
	if p == nil {
		p = func(w io.Writer, _ int64) error {
			b, _, err := t.Bytes()
			if err == nil {
				_, err = w.Write(b)
			}
			return err
		}
	}
	encodeTensor(r, t.Name, t.DType, t.Dims, int64(size), p)
}

func encodeTensor(r *rope, name string, typ DataType, dims []int64, size int64, p Payload) {
	for _, d := range dims {
		r.varint(1, uint64(d))
	}
	r.varint(2, uint64(typ))
	r.optional(8, name)
	r.header(9, size)
	r.payload(name, size, p)
}

// encode writes a ValueInfoProto: a tensor's type, or the name alone.
func (v *ValueInfo) encode(r *rope) {
	r.string(1, v.Name)
	if !v.Tensor {
		return
	}
	dim := func(r *rope, d Dim) {
		if d.Known {
			r.varint(1, uint64(d.Value))
		} else {
			r.optional(2, d.Param)
		}
	}
	r.message(2, func(r *rope) {
		r.message(1, func(r *rope) {
			r.varint(1, uint64(v.ElemType))
			if !v.HasShape {
				return
			}
			r.message(2, func(r *rope) {
				for _, d := range v.Dims {
					r.message(1, func(r *rope) { dim(r, d) })
				}
			})
		})
	})
}
