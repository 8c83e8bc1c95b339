package wire

import (
	"fmt"
	"io"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/relupath/relupath/internal/lists"
)

// Patch is a set of edits of a file. Each method adds one; WriteTo writes the
// file with all of them. The File must stay open until then, and the output
// must not overwrite it.
type Patch struct {
	f       *File
	splices []splice
	// outer holds the names of values in the main graph, those added included.
	outer map[string]struct{}
	// numbered is, for a base, the last number that was tried for a fresh name.
	numbered map[string]int
	// fields holds where the fields of the graph lie, by number, once it was asked for.
	fields map[protowire.Number][]span
	// touched holds what was edited already, by its place in the file.
	touched map[int]struct{}
	// external holds new payloads of tensors with external data, relocated the
	// layout of the new data file.
	external  map[*Tensor]Payload
	relocated []relocation
	location  string
	// removed holds the initializers that were taken out.
	removed map[*Tensor]struct{}
}

// NewPatch returns a Patch without edits.
func NewPatch(f *File) *Patch {
	p := &Patch{f: f, outer: map[string]struct{}{}, numbered: map[string]int{}, touched: map[int]struct{}{}, external: map[*Tensor]Payload{}, removed: map[*Tensor]struct{}{}}
	g := &f.Graph
	for i := range g.Nodes {
		for _, name := range g.Nodes[i].Outputs {
			p.outer[name] = struct{}{}
		}
	}
	for i := range g.Initializers {
		p.outer[g.Initializers[i].Name] = struct{}{}
	}
	for i := range g.SparseInitializers {
		p.outer[g.SparseInitializers[i].Values.Name] = struct{}{}
	}
	for i := range g.Inputs {
		p.outer[g.Inputs[i].Name] = struct{}{}
	}
	return p
}

func (p *Patch) fail(place, format string, args ...any) error {
	return &Error{File: p.f.name, Path: place, Offset: -1, Msg: fmt.Sprintf(format, args...)}
}

// touch notes that the part of the file at an offset is edited.
func (p *Patch) touch(at int, what string) error {
	if _, ok := p.touched[at]; ok {
		return p.fail(what, "it is edited twice")
	}
	p.touched[at] = struct{}{}
	return nil
}

// ReplaceInitializer exchanges the elements of initializer k. Dims and type
// stay. raw_data, and float_data or double_data in one packed field, keep their
// encoding and place; any other typed data becomes raw_data. New elements of
// external data are written by [Patch.WriteExternal]. An index out of range is
// a programmer's mistake.
func (p *Patch) ReplaceInitializer(k int, data Payload) error {
	t := &p.f.Graph.Initializers[k]
	return p.replace(t, data, []span{p.f.Graph.span, t.span})
}

// ReplaceAttribute exchanges the elements of the tensor in attribute a of node
// n, such as the value of a Constant, as ReplaceInitializer does.
func (p *Patch) ReplaceAttribute(n, a int, data Payload) error {
	node := &p.f.Graph.Nodes[n]
	attr := &node.Attributes[a]
	if attr.T == nil {
		return p.fail(fmt.Sprintf("graph.node[%d].attribute %q", n, attr.Name), "it holds no tensor")
	}
	return p.replace(attr.T, data, []span{p.f.Graph.span, node.span, attr.span, attr.T.span})
}

func (p *Patch) replace(t *Tensor, data Payload, within []span) error {
	if err := p.touch(t.span.start, fmt.Sprintf("tensor %q", t.Name)); err != nil {
		return err
	}
	size, err := t.check()
	switch {
	case err != nil:
		return err
	case t.Encoding == External:
		p.external[t] = data
	case size == 0:
	case t.raw.len() > 0:
		s := splice{start: t.raw.start, end: t.raw.end}
		s.with.payload(t.Name, int64(size), data)
		p.splices = append(p.splices, s)
	default:
		p.rewrite(t, int64(size), data, within)
	}
	return nil
}

// rewrite puts one raw_data field in the place of the first field of typed
// data, and takes the others out.
func (p *Patch) rewrite(t *Tensor, size int64, data Payload, within []span) {
	var r rope
	r.header(9, size)
	r.payload(t.Name, size, data)
	p.exchange(t.span, within, r, func(s *scanner) bool {
		return s.num == 9 || typedFields[s.num].enc == t.Encoding
	})
}

// exchange puts r in the place of the first field of a message that old
// selects, and takes the others out.
func (p *Patch) exchange(message span, within []span, r rope, old func(*scanner) bool) {
	s := newParser(p.f, p.f.data).scan(message)
	first := true
	for s.next() {
		if !old(s) {
			continue
		}
		last := len(p.splices) - 1
		switch {
		case first:
			p.splices = append(p.splices, splice{start: s.tag, end: s.pos, within: within, with: r})
			first = false
		case p.splices[last].end == s.tag:
			p.splices[last].end = s.pos
		default:
			p.splices = append(p.splices, splice{start: s.tag, end: s.pos, within: within})
		}
	}
}

// taken says whether a name is in use anywhere in the graph.
func (p *Patch) taken(name string) bool {
	_, outer := p.outer[name]
	_, inner := p.f.inner[name]
	return outer || inner
}

// FreshName returns the base, or the base with the smallest number appended
// that makes it a name not in use.
func (p *Patch) FreshName(base string) string {
	name := base
	for name == "" || p.taken(name) {
		p.numbered[base]++
		name = fmt.Sprintf("%s_%d", base, p.numbered[base])
	}
	return name
}

// AddInitializer appends an initializer with raw data. Below IR version 4,
// where every initializer must be a graph input, it appends that as well. A
// name in use is an error.
func (p *Patch) AddInitializer(name string, typ DataType, dims []int64, data Payload) error {
	if name == "" || p.taken(name) {
		return p.fail("graph.initializer", "%q cannot be added: the name is empty or in use", name)
	}
	t := NewTensor(name, typ, dims, data)
	size, err := t.size()
	if err != nil {
		return err
	}
	var r rope
	r.message(5, func(r *rope) { encodeTensor(r, name, typ, dims, int64(size), data) })
	p.insert(5, r)
	p.outer[name] = struct{}{}
	if p.f.Model.IRVersion >= 4 {
		return nil
	}
	in := ValueInfo{Name: name, Tensor: true, ElemType: typ, HasShape: true, Dims: lists.Map(dims, known)}
	r = rope{}
	r.message(11, in.encode)
	p.insert(11, r)
	return nil
}

func known(extent int64) Dim { return Dim{Known: true, Value: extent} }

// insert puts a field of the graph behind the last of its number, or at the
// end.
func (p *Patch) insert(num protowire.Number, r rope) {
	g := p.f.Graph.span
	at := g.end
	if list := p.graphFields(num); len(list) > 0 {
		at = list[len(list)-1].end
	}
	p.splices = append(p.splices, splice{start: at, end: at, within: []span{g}, with: r})
}

// graphFields returns where the fields of a number lie in the graph, each from its tag on.
func (p *Patch) graphFields(num protowire.Number) []span {
	if p.fields == nil {
		p.fields = map[protowire.Number][]span{}
		s := newParser(p.f, p.f.data).scan(p.f.Graph.span)
		for s.next() {
			p.fields[s.num] = append(p.fields[s.num], span{start: s.tag, end: s.pos})
		}
	}
	return p.fields[num]
}

// SetMetadata gives a key of the model's metadata a value: in the place of the value
// that it has, else in an entry at the end of the file.
func (p *Patch) SetMetadata(key, value string) error {
	if err := p.touch(-1, fmt.Sprintf("metadata %q", key)); err != nil {
		return err
	}
	var r rope
	r.message(14, Entry{key, value}.encode)
	model := span{end: len(p.f.data)}
	old := func(s *scanner) bool {
		if s.num != 14 {
			return false
		}
		entries := s.appendEntry(nil, "metadata_props")
		return s.err == nil && entries[0].Key == key
	}
	before := len(p.splices)
	p.exchange(model, nil, r, old)
	if len(p.splices) == before {
		p.splices = append(p.splices, splice{start: model.end, end: model.end, with: r})
	}
	return nil
}

// RepointInput makes input i of node n read another value: one of the file, or
// an initializer added before.
func (p *Patch) RepointInput(n, i int, name string) error {
	place := fmt.Sprintf("graph.node[%d].input[%d]", n, i)
	node := &p.f.Graph.Nodes[n]
	_ = node.Inputs[i]
	if _, ok := p.outer[name]; !ok || name == "" {
		return p.fail(place, "there is no value %q to read", name)
	}
	s := newParser(p.f, p.f.data).scan(node.span)
	for s.next() {
		if s.num != 1 {
			continue
		}
		if i == 0 {
			break
		}
		i--
	}
	if err := p.touch(s.value.prefix, place); err != nil {
		return err
	}
	sp := splice{start: s.value.start, end: s.value.end, within: []span{p.f.Graph.span, node.span, s.value}}
	sp.with.grow(func(b []byte) []byte { return append(b, name...) })
	p.splices = append(p.splices, sp)
	return nil
}

// ReplaceNode puts other nodes in the place of node n of the graph; none takes it out.
// The last has the fields of node n that Node does not know, such as its
// documentation. Values that the new nodes make and the old one did not must be new.
func (p *Patch) ReplaceNode(n int, by ...Node) error {
	place := fmt.Sprintf("graph.node[%d]", n)
	old := &p.f.Graph.Nodes[n]
	if err := p.touch(old.span.start, place); err != nil {
		return err
	}
	var unknown []byte
	s := newParser(p.f, p.f.data).scan(old.span)
	for s.next() {
		if s.num == 6 || s.num > 8 {
			unknown = append(unknown, p.f.data[s.tag:s.pos]...)
		}
	}
	var r rope
	e := &encoder{}
	for i := range by {
		for _, name := range by[i].Outputs {
			if p.taken(name) && !slices.Contains(old.Outputs, name) {
				return p.fail(place, "there is a value %q already", name)
			}
			p.outer[name] = struct{}{}
		}
		r.message(1, func(r *rope) {
			e.node(r, &by[i])
			if i == len(by)-1 {
				r.grow(func(b []byte) []byte { return append(b, unknown...) })
			}
		})
	}
	if e.err != nil {
		return e.err
	}
	p.putField(1, n, r)
	return nil
}

// RemoveInitializer takes initializer k out; nothing may read it any more. External data is
// relocated without it, if it is taken out before.
func (p *Patch) RemoveInitializer(k int) error {
	t := &p.f.Graph.Initializers[k]
	if err := p.touch(t.span.start, fmt.Sprintf("tensor %q", t.Name)); err != nil {
		return err
	}
	p.putField(5, k, rope{})
	p.removed[t] = struct{}{}
	return nil
}

// ResizeInitializer gives initializer k other dims and elements, which become raw data; its name and
// type stay. Below IR version 4 the graph input of its name gets the dims too. External data is an
// error.
func (p *Patch) ResizeInitializer(k int, dims []int64, data Payload) error {
	t := &p.f.Graph.Initializers[k]
	place := fmt.Sprintf("tensor %q", t.Name)
	if t.Encoding == External {
		return p.fail(place, "its data is in another file")
	}
	if err := p.touch(t.span.start, place); err != nil {
		return err
	}
	made := NewTensor(t.Name, t.DType, dims, data)
	size, err := made.size()
	if err != nil {
		return err
	}
	var r rope
	r.message(5, func(r *rope) { encodeTensor(r, t.Name, t.DType, dims, int64(size), data) })
	p.putField(5, k, r)
	for i := range p.f.Graph.Inputs {
		in := p.f.Graph.Inputs[i]
		if in.Name != t.Name {
			continue
		}
		in.HasShape, in.Dims = true, lists.Map(dims, known)
		r = rope{}
		r.message(11, in.encode)
		p.putField(11, i, r)
	}
	return nil
}

// KeepValueInfo takes out what the file says of the types of values between the nodes, but of those
// that are named to be kept.
func (p *Patch) KeepValueInfo(keep func(name string) bool) {
	k := -1
	p.exchange(p.f.Graph.span, []span{p.f.Graph.span}, rope{}, func(s *scanner) bool {
		if s.num != 13 {
			return false
		}
		k++
		return !keep(p.f.Graph.ValueInfo[k].Name)
	})
}

// putField puts r in the place of the k-th field of a number in the graph.
func (p *Patch) putField(num protowire.Number, k int, r rope) {
	at := p.graphFields(num)[k]
	p.splices = append(p.splices, splice{start: at.start, end: at.end, within: []span{p.f.Graph.span}, with: r})
}

// Size returns the size of the file that [Patch.WriteTo] writes.
func (p *Patch) Size() int64 {
	_, grows := plan(p.splices)
	return int64(len(p.f.data)) + grows
}

// WriteTo writes the file with the edits and returns the number of bytes. What
// is not edited is written from the file as it lies there; new elements come
// from their payloads. It can be called again.
func (p *Patch) WriteTo(w io.Writer) (int64, error) {
	if len(p.external) > 0 && p.location == "" {
		return 0, p.fail("", "a tensor with external data was edited: a new data file must be named for it")
	}
	splices, grows := plan(p.splices)
	size := int64(len(p.f.data)) + grows
	if size > maxMessage && size > int64(len(p.f.data)) {
		return 0, p.fail("", "the edited model is larger than 2 GiB, the limit of its format")
	}
	out := newOutput(w)
	at := 0
	for i := range splices {
		s := &splices[i]
		if _, err := out.Write(p.f.data[at:s.start]); err != nil {
			return out.written(err)
		}
		for k := range s.with.parts {
			if err := s.with.parts[k].write(out); err != nil {
				return out.written(err)
			}
		}
		at = s.end
	}
	_, err := out.Write(p.f.data[at:])
	return out.written(err)
}
