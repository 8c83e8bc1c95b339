package wire

import (
	"slices"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
)

// parseModel reads a ModelProto into the parser's file.
func (p *parser) parseModel() *Error {
	f := p.file
	s := p.scan(span{0, 0, len(p.data)})
	hasGraph := false
	for s.next() {
		switch s.num {
		case 1:
			f.Model.IRVersion = s.int64()
		case 2:
			f.Model.ProducerName = s.name()
		case 3:
			f.Model.ProducerVersion = s.name()
		case 4:
			f.Model.Domain = s.name()
		case 5:
			f.Model.ModelVersion = s.int64()
		case 6:
			f.Model.DocString = s.string()
		case 7:
			if s.once(&hasGraph, "graph") {
				s.message("graph", -1, func(g *scanner) { g.graph(&f.Graph) })
			}
		case 8:
			f.Model.OpsetImports = s.appendOpset(f.Model.OpsetImports)
		case 14:
			f.Model.Metadata = s.appendEntry(f.Model.Metadata, "metadata_props")
		case 25:
			f.Model.Functions = appendMessage(s, f.Model.Functions, "functions", (*scanner).function)
		}
	}
	if s.err == nil && !hasGraph {
		return &Error{File: f.name, Offset: -1, Msg: "there is no graph in it: this is not an ONNX model"}
	}
	return s.err
}

// appendMessage parses a field of a repeated message; field takes each of its
// fields.
func appendMessage[T any](s *scanner, to []T, name string, field func(m *scanner, x *T)) []T {
	var x T
	s.charge(2 * int(unsafe.Sizeof(x)))
	s.message(name, len(to), func(m *scanner) {
		for m.next() {
			field(m, &x)
		}
	})
	return append(to, x)
}

func (s *scanner) appendOpset(to []Opset) []Opset {
	return appendMessage(s, to, "opset_import", func(m *scanner, o *Opset) {
		switch m.num {
		case 1:
			o.Domain = m.name()
		case 2:
			o.Version = m.int64()
		}
	})
}

func (s *scanner) appendEntry(to []Entry, name string) []Entry {
	return appendMessage(s, to, name, func(m *scanner, e *Entry) {
		switch m.num {
		case 1:
			e.Key = m.string()
		case 2:
			e.Value = m.string()
		}
	})
}

// count returns how often the fields a and b occur in the rest of a message,
// so that large slices are allocated once.
func (s *scanner) count(a, b protowire.Number) (na, nb int) {
	c := s.scan(span{s.pos, s.pos, s.end})
	for c.next() {
		switch c.num {
		case a:
			na++
		case b:
			nb++
		}
	}
	return na, nb
}

func (s *scanner) graph(g *Graph) {
	g.span = s.self
	nodes, initializers := s.count(1, 5)
	if !s.charge(nodes*nodeSize + initializers*tensorSize) {
		return
	}
	g.Nodes = make([]Node, 0, nodes)
	g.Initializers = make([]Tensor, 0, initializers)
	for s.next() {
		switch s.num {
		case 1:
			g.Nodes = append(g.Nodes, Node{})
			k := len(g.Nodes) - 1
			s.message("node", k, func(n *scanner) { n.node(&g.Nodes[k]) })
		case 2:
			g.Name = s.name()
		case 5:
			g.Initializers = append(g.Initializers, Tensor{})
			k := len(g.Initializers) - 1
			s.message("initializer", k, func(t *scanner) { t.tensor(&g.Initializers[k]) })
		case 10:
			g.DocString = s.string()
		case 11:
			g.Inputs = s.appendValueInfo(g.Inputs, "input")
		case 12:
			g.Outputs = s.appendValueInfo(g.Outputs, "output")
		case 13:
			g.ValueInfo = s.appendValueInfo(g.ValueInfo, "value_info")
		case 15:
			g.SparseInitializers = s.appendSparse(g.SparseInitializers)
		}
	}
}

// Sizes charged for one element of a slice.
const (
	nodeSize      = int(unsafe.Sizeof(Node{}))
	attributeSize = 2 * int(unsafe.Sizeof(Attribute{}))
	tensorSize    = int(unsafe.Sizeof(Tensor{}))
	graphSize     = 2 * int(unsafe.Sizeof(span{}))
)

func (s *scanner) node(n *Node) {
	n.span = s.self
	for s.next() {
		switch s.num {
		case 1:
			n.Inputs = s.appendName(n.Inputs)
		case 2:
			n.Outputs = s.appendName(n.Outputs)
		case 3:
			n.Name = s.name()
		case 4:
			n.OpType = s.name()
		case 5:
			n.Attributes = s.appendAttribute(n.Attributes, "attribute")
		case 7:
			n.Domain = s.name()
		case 8:
			n.Overload = s.name()
		}
	}
}

func (s *scanner) appendAttribute(to []Attribute, name string) []Attribute {
	s.charge(attributeSize)
	var a Attribute
	s.message(name, len(to), func(m *scanner) { m.attribute(&a) })
	return append(to, a)
}

func (s *scanner) attribute(a *Attribute) {
	a.span = s.self
	// What subgraphs within a subgraph use is used by the outer one.
	sub := s.used
	if sub == nil {
		sub = &subgraphs{}
	}
	hasTensor, hasGraph := false, false
	// present is the type that the fields found imply, for files that declare
	// none.
	present := AttrUndefined
	for s.next() {
		if t, ok := attributeFields[s.num]; ok {
			if present != AttrUndefined && present != t {
				s.fail("attribute %q holds values of two types", a.Name)
				return
			}
			present = t
		}
		switch s.num {
		case 1:
			a.Name = s.name()
		case 2:
			a.F = s.float32()
		case 3:
			a.I = s.int64()
		case 4:
			s.charge(len(s.bytes()))
			a.S = append([]byte(nil), s.bytes()...)
		case 5:
			if s.once(&hasTensor, "tensor value") && s.charge(tensorSize) {
				a.T = &Tensor{}
				s.message("t", -1, func(t *scanner) { t.tensor(a.T) })
			}
		case 6:
			if s.once(&hasGraph, "subgraph") {
				a.Graphs++
				a.graphs = append(a.graphs, s.value)
				s.message("g", -1, func(g *scanner) { g.subgraph(a, sub) })
			}
		case 7:
			s.charge(8)
			a.Floats = reserve(s, a.Floats, protowire.Fixed32Type)
			s.numbers(protowire.Fixed32Type, func(v uint64) { a.Floats = append(a.Floats, float32bits(v)) })
		case 8:
			s.charge(16)
			a.Ints = reserve(s, a.Ints, protowire.VarintType)
			s.numbers(protowire.VarintType, func(v uint64) { a.Ints = append(a.Ints, int64(v)) })
		case 9:
			s.charge(24 + len(s.bytes()))
			a.Strings = reserve(s, a.Strings, protowire.BytesType)
			a.Strings = append(a.Strings, append([]byte(nil), s.bytes()...))
		case 10:
			s.message("tensors", -1, func(t *scanner) { t.innerTensor() })
		case 11:
			a.Graphs++
			s.charge(graphSize)
			a.graphs = append(a.graphs, s.value)
			s.message("graphs", a.Graphs-1, func(g *scanner) { g.subgraph(a, sub) })
		case 20:
			a.Type = AttributeType(s.int64())
		case 21:
			a.RefAttrName = s.name()
		case 22, 23:
			s.message("sparse_tensor", -1, func(t *scanner) { t.innerSparse() })
		}
	}
	switch {
	case a.Type == AttrUndefined:
		a.Type, a.Undeclared = present, true
	case present != AttrUndefined && present != a.Type:
		s.fail("attribute %q is declared as %v and holds %v", a.Name, a.Type, present)
	}
	if s.used == nil {
		a.Captures = sub.list()
	}
}

// reserve makes room in a list for the values of the current field and, where it
// is empty, of the later fields of the same number, so that a long list is
// allocated once.
func reserve[T any](s *scanner, to []T, value protowire.Type) []T {
	n := 1
	if s.typ == protowire.BytesType && value != protowire.BytesType {
		n = s.packedCount(value)
	}
	if len(to) == 0 {
		later, _ := s.count(s.num, 0)
		n += later
	}
	return slices.Grow(to, n)
}

// attributeFields maps the value fields of an attribute to its types.
var attributeFields = map[protowire.Number]AttributeType{
	2: AttrFloat, 3: AttrInt, 4: AttrString, 5: AttrTensor, 6: AttrGraph, 7: AttrFloats, 8: AttrInts,
	9: AttrStrings, 10: AttrTensors, 11: AttrGraphs, 14: AttrTypeProto, 15: AttrTypeProtos,
	22: AttrSparseTensor, 23: AttrSparseTensors,
}

func (s *scanner) appendSparse(to []SparseTensor) []SparseTensor {
	to = appendMessage(s, to, "sparse_initializer", func(m *scanner, t *SparseTensor) {
		switch m.num {
		case 1:
			m.message("values", -1, func(v *scanner) { v.tensor(&t.Values) })
		case 2:
			m.message("indices", -1, func(v *scanner) { v.tensor(&t.Indices) })
		case 3:
			m.charge(8)
			m.numbers(protowire.VarintType, func(v uint64) { t.Dims = append(t.Dims, int64(v)) })
		}
	})
	s.file.outside(&to[len(to)-1].Values)
	s.file.outside(&to[len(to)-1].Indices)
	return to
}

func (s *scanner) appendValueInfo(to []ValueInfo, name string) []ValueInfo {
	hasType := false
	return appendMessage(s, to, name, func(m *scanner, v *ValueInfo) {
		switch m.num {
		case 1:
			v.Name = m.name()
		case 2:
			if m.once(&hasType, "type") {
				m.message("type", -1, func(t *scanner) { t.typeProto(v) })
			}
		}
	})
}

func (s *scanner) typeProto(v *ValueInfo) {
	kinds := map[protowire.Number]string{4: "sequence", 5: "map", 7: "opaque", 8: "sparse tensor", 9: "optional"}
	hasTensor := false
	for s.next() {
		if s.num == 1 && s.once(&hasTensor, "tensor type") {
			v.Tensor = true
			s.message("tensor_type", -1, func(t *scanner) { t.tensorType(v) })
		} else if k := kinds[s.num]; k != "" {
			v.Kind = k
		}
	}
	if v.Kind != "" {
		v.Tensor = false
	}
}

func (s *scanner) tensorType(v *ValueInfo) {
	for s.next() {
		switch s.num {
		case 1:
			v.ElemType = DataType(s.int64())
		case 2:
			if !s.once(&v.HasShape, "shape") {
				return
			}
			s.message("shape", -1, func(sh *scanner) {
				for sh.next() {
					if sh.num == 1 {
						v.Dims = sh.appendDim(v.Dims)
					}
				}
			})
		}
	}
}

func (s *scanner) appendDim(to []Dim) []Dim {
	return appendMessage(s, to, "dim", func(m *scanner, d *Dim) {
		switch m.num {
		case 1:
			*d = Dim{Known: true, Value: m.int64()}
		case 2:
			*d = Dim{Param: m.name()}
		}
	})
}

// function takes one field of a FunctionProto.
func (s *scanner) function(f *Function) {
	switch s.num {
	case 1:
		f.Name = s.name()
	case 4:
		f.Inputs = s.appendName(f.Inputs)
	case 5:
		f.Outputs = s.appendName(f.Outputs)
	case 6:
		f.AttributeNames = s.appendName(f.AttributeNames)
	case 7:
		s.charge(2 * nodeSize)
		var n Node
		s.message("node", len(f.Nodes), func(m *scanner) { m.node(&n) })
		s.file.outsideNode(&n)
		f.Nodes = append(f.Nodes, n)
	case 9:
		f.OpsetImports = s.appendOpset(f.OpsetImports)
	case 10:
		f.Domain = s.name()
	case 11:
		f.Attributes = s.appendAttribute(f.Attributes, "attribute_proto")
	case 13:
		f.Overload = s.name()
	}
}
