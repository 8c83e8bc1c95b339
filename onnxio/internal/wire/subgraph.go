package wire

import (
	"maps"
	"slices"
)

// maxNesting bounds subgraphs within subgraphs.
const maxNesting = 64

// subgraphs collects what the subgraphs of one attribute say about names.
type subgraphs struct{ captured map[string]struct{} }

func (s *subgraphs) capture(name string) {
	if s.captured == nil {
		s.captured = map[string]struct{}{}
	}
	s.captured[name] = struct{}{}
}

func (s *subgraphs) list() []string {
	if len(s.captured) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(s.captured))
}

// subgraph walks a graph in an attribute for its nodes, for the names that it uses and
// does not define, and for external data.
func (s *scanner) subgraph(a *Attribute, into *subgraphs) {
	if s.depth == maxNesting {
		s.fail("subgraphs are nested more than %d deep", maxNesting)
		return
	}
	defined := map[string]struct{}{}
	define := func(name string) {
		s.charge(nameSize)
		s.file.inner[name] = struct{}{}
		defined[name] = struct{}{}
	}
	var used subgraphs
	outer := s.used
	s.used, s.depth = &used, s.depth+1
	for s.next() {
		switch s.num {
		case 1:
			s.innerNode(a, define)
		case 5:
			s.message("initializer", -1, func(t *scanner) { define(t.innerTensor()) })
		case 15:
			s.message("sparse_initializer", -1, func(t *scanner) { define(t.innerSparse()) })
		case 11:
			s.message("input", -1, func(v *scanner) { define(v.firstName()) })
		case 12:
			s.message("output", -1, func(v *scanner) { used.capture(v.firstName()) })
		}
	}
	s.used, s.depth = outer, s.depth-1
	for name := range used.captured {
		if _, ok := defined[name]; !ok && name != "" {
			into.capture(name)
		}
	}
}

// Subgraphs indexes the subgraphs of an attribute: a file's own index holds only
// what [Attribute.Captures] says of them.
func (f *File) Subgraphs(a *Attribute) ([]*Graph, error) {
	var out []*Graph
	for _, at := range a.graphs {
		s := newParser(f, f.data).scan(at)
		g := &Graph{}
		s.graph(g)
		if s.err != nil {
			return nil, s.err
		}
		out = append(out, g)
	}
	return out, nil
}

// Raw returns an attribute as the file has it; nil where some of it may be in other files.
func (f *File) Raw(a *Attribute) []byte {
	if a.T != nil && a.T.Encoding == External || a.Graphs > 0 && f.hidden != nil {
		return nil
	}
	return f.data[a.span.start:a.span.end]
}

// nameSize is charged for one name in the sets.
const nameSize = 64

func (s *scanner) innerNode(a *Attribute, define func(string)) {
	s.charge(2 * nodeSize)
	var n Node
	s.message("node", len(a.Nodes), func(m *scanner) { m.node(&n) })
	for _, name := range n.Inputs {
		s.charge(nameSize)
		s.used.capture(name)
	}
	for _, name := range n.Outputs {
		define(name)
	}
	s.file.outsideNode(&n)
	a.Nodes = append(a.Nodes, n)
}

// firstName returns field 1 of a message, the name in a ValueInfoProto.
func (s *scanner) firstName() (name string) {
	for s.next() {
		if s.num == 1 {
			name = s.name()
		}
	}
	return name
}

// innerTensor notes whether a tensor that is not kept has external data and
// returns its name.
func (s *scanner) innerTensor() string {
	var t Tensor
	s.tensor(&t)
	s.file.outside(&t)
	return t.Name
}

// innerSparse does the same for a sparse tensor; its name is that of its
// values.
func (s *scanner) innerSparse() (name string) {
	for s.next() {
		switch s.num {
		case 1:
			s.message("values", -1, func(t *scanner) { name = t.innerTensor() })
		case 2:
			s.message("indices", -1, func(t *scanner) { t.innerTensor() })
		}
	}
	return name
}

// outside notes external data of a tensor that is neither an initializer nor
// the value of an attribute of the main graph.
func (f *File) outside(t *Tensor) {
	if t.Encoding == External && t.External != nil {
		f.hidden = append(f.hidden, t.External.Path)
	}
}

func (f *File) outsideNode(n *Node) {
	for i := range n.Attributes {
		if t := n.Attributes[i].T; t != nil {
			f.outside(t)
		}
	}
}
