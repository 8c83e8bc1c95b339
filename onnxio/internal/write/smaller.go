package write

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/onnxio/internal/source"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// Removal is onnxio.Removal.
type Removal struct {
	Groups *dag.Groups
	// Gone says of each group whether its units go.
	Gone []bool
}

func (r *Removal) gone(id int32) bool { return id != dag.NoGroup && r.Gone[id] }

// The reasons for which a file keeps units.
const (
	keptStored = "their numbers are not a tensor of the file that can become smaller"
	keptShared = "their numbers are shared with units that stay"
	keptMoved  = "an operator with constants of its own moves their values"
	keptBounds = "their bounds are stored one by one"
)

// part is what stays of a stored tensor.
type part struct {
	uses []*dag.Use
	// kept says which elements stay, groups which units go with others.
	kept   []bool
	groups []int32
	// axes are the indices that stay along each axis, nil where elements that stay are no product of
	// such.
	axes [][]int
	// shared says that its uses keep different elements.
	shared bool
}

// parts finds what stays of the tensors that a removal makes smaller, in the order of their use.
func (r *Removal) parts(net *dag.Network) (order []*dag.Param, of map[*dag.Param]*part) {
	of = map[*dag.Param]*part{}
	add := func(u *dag.Use, goes []bool, groups []int32) {
		p := u.Param.Origin()
		old := of[p]
		if old == nil {
			of[p] = &part{uses: []*dag.Use{u}, kept: invert(goes), groups: groups}
			order = append(order, p)
			return
		}
		old.uses, old.groups = append(old.uses, u), append(old.groups, groups...)
		old.shared = old.shared || !slices.Equal(old.kept, invert(goes))
	}
	for i := range net.Nodes {
		nd := &net.Nodes[i]
		if nd.Zone != dag.Body {
			for _, u := range nd.Uses() {
				add(u, make([]bool, u.Param.Len()), nil)
			}
			continue
		}
		group := r.Groups.Units[i].At
		if l, ok := nd.Op.(*dag.Linear); ok {
			r.matrices(nd, l, add)
			rows := r.Groups.Rows[i]
			group = func(u int) int32 { return rows[u] }
		}
		nd.Vectors(func(u *dag.Use, size int, element func(int) int) { r.vector(u, size, element, group, add) })
	}
	for p, x := range of {
		x.axes = product(p.Shape, x.kept)
	}
	return order, of
}

func invert(b []bool) []bool {
	return lists.Map(b, func(x bool) bool { return !x })
}

// matrices finds the weights of a layer that go.
func (r *Removal) matrices(nd *dag.Node, l *dag.Linear, add func(u *dag.Use, goes []bool, groups []int32)) {
	ms := l.Matrices()
	if ms == nil {
		return
	}
	rows, cols := r.Groups.Rows[nd.ID], r.Groups.Cols[nd.ID]
	u := l.Map.Weight()
	goes, groups, at := make([]bool, u.Param.Len()), []int32(nil), 0
	for _, m := range ms {
		for e := range m.Len() {
			i, j := m.Place(e)
			goes[at+e] = r.gone(rows[i]) || r.gone(cols[j])
		}
		at += m.Len()
	}
	for _, id := range slices.Concat(rows, cols) {
		if r.gone(id) {
			groups = append(groups, id)
		}
	}
	add(u, goes, groups)
}

// vector finds the elements of a tensor of one number a unit that go: those that no unit that
// stays reads.
func (r *Removal) vector(u *dag.Use, n int, element func(int) int, group func(int) int32, add func(*dag.Use, []bool, []int32)) {
	goes, stays, groups := make([]bool, u.Param.Len()), make([]bool, u.Param.Len()), []int32(nil)
	for i := range n {
		if id := group(i); r.gone(id) {
			goes[element(i)], groups = true, append(groups, id)
		} else {
			stays[element(i)] = true
		}
	}
	for e := range goes {
		goes[e] = goes[e] && !stays[e]
	}
	add(u, goes, groups)
}

// product returns the indices along each axis of which the elements that stay are made; nil where
// they are not made so.
func product(shape []int, kept []bool) [][]int {
	stays := lists.Map(shape, func(n int) []bool { return make([]bool, n) })
	n := 0
	for e, k := range kept {
		if !k {
			continue
		}
		n++
		for a := len(shape) - 1; a >= 0; a-- {
			stays[a][e%shape[a]] = true
			e /= shape[a]
		}
	}
	axes, size := make([][]int, len(shape)), 1
	for a := range shape {
		axes[a] = []int{}
		for i, s := range stays[a] {
			if s {
				axes[a] = append(axes[a], i)
			}
		}
		size *= len(axes[a])
	}
	if size != n || n == 0 {
		return nil
	}
	return axes
}

func extents(axes [][]int) []int {
	return lists.Map(axes, func(x []int) int { return len(x) })
}

// Keeps is Model.Keeps.
func Keeps(f *wire.File, net *dag.Network, r *Removal) map[string][]int32 {
	out := map[string][]int32{}
	order, of := r.parts(net)
	for _, p := range order {
		x := of[p]
		if !slices.Contains(x.kept, false) && !x.shared {
			continue
		}
		s, ok := p.Ref.(*source.Tensor)
		switch {
		case p.Storage != dag.InPlace || !ok || s.Initializer < 0 || s.Hidden || s.Fixed || f.Graph.Initializers[s.Initializer].Encoding == wire.External:
			out[keptStored] = append(out[keptStored], x.groups...)
		case x.shared || x.axes == nil:
			out[keptShared] = append(out[keptShared], x.groups...)
		}
	}
	for i := range net.Nodes {
		nd := &net.Nodes[i]
		if nd.Zone != dag.Body {
			continue
		}
		var gone []int32
		for _, j := range nd.In {
			for _, id := range r.Groups.Units[j].IDs {
				if r.gone(id) {
					gone = append(gone, id)
				}
			}
		}
		if nd.Moves() && !plainMove(nd.Source) {
			out[keptMoved] = append(out[keptMoved], gone...)
		} else if c, ok := nd.Op.(*dag.Cap); ok && (len(c.Lo) > 1 || len(c.Hi) > 1) {
			out[keptBounds] = append(out[keptBounds], gone...)
		}
	}
	for why, groups := range out {
		if len(groups) == 0 {
			delete(out, why)
		}
	}
	return out
}

// plainMove reports whether operators move values without constants that count units, or with
// those of Reshape, which are made smaller.
func plainMove(operators string) bool {
	for op := range strings.SplitSeq(operators, "+") {
		switch op {
		case "Flatten", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Concat":
		default:
			return false
		}
	}
	return true
}

// Smaller collects the edits that take a file to net, a network of its architecture, less some
// units; values are those of Model.Values. It is for removals of which Keeps lists nothing, and for
// edits of tensors that have one use. What the file says of the types of values between nodes goes
// too, but for those of values that keep all units: the shape of what an operator of nobody's makes
// is known from nothing else.
func Smaller(f *wire.File, net *dag.Network, r *Removal, values map[string]int) (*wire.Patch, error) {
	p := wire.NewPatch(f)
	order, of := r.parts(net)
	for _, from := range order {
		x := of[from]
		now := x.uses[0].Param
		for _, u := range x.uses {
			if u.Param != now {
				return nil, fmt.Errorf("onnxio: %q was edited for some of its uses", from.Name)
			}
		}
		s, ok := from.Ref.(*source.Tensor)
		if !slices.Contains(x.kept, false) {
			if now != from {
				if !ok {
					return nil, fmt.Errorf("onnxio: parameter %q is not of this model", from.Name)
				}
				if err := (&exporter{Patch: p}).replace(s, now); err != nil {
					return nil, err
				}
			}
			continue
		}
		if !ok || s.Initializer < 0 || x.axes == nil {
			return nil, fmt.Errorf("onnxio: %q cannot become smaller", from.Name)
		}
		v := make([]float64, 0, now.Len())
		for e, k := range x.kept {
			if k {
				v = append(v, now.At(e))
			}
		}
		shape := extents(x.axes)
		if err := p.ResizeInitializer(s.Initializer, lists.Convert[int64](shape), payload(now.WithValues(shape, v))); err != nil {
			return nil, err
		}
	}
	if err := r.operators(p, f, net, values); err != nil {
		return nil, err
	}
	p.KeepValueInfo(func(name string) bool {
		i, ok := values[name]
		return ok && !slices.ContainsFunc(r.Groups.Units[i].IDs, r.gone)
	})
	return p, nil
}

// operators edits what operators say of the number of units: groups of depthwise convolutions,
// and shapes.
func (r *Removal) operators(p *wire.Patch, f *wire.File, net *dag.Network, values map[string]int) error {
	for nd, l := range dag.Each[*dag.Linear](net) {
		c, ok := l.Map.(*dag.Conv)
		if !ok || c.Groups == 1 || nd.Zone != dag.Body {
			continue
		}
		left := 0
		for _, id := range r.Groups.Rows[nd.ID] {
			if !r.gone(id) {
				left++
			}
		}
		at, ok := c.W.Site.(*source.Site)
		if left == c.OutChannels {
			continue
		}
		if !ok {
			return fmt.Errorf("onnxio: %s is no operator of the file", nd.Label())
		}
		node := f.Graph.Nodes[at.Node]
		node.Attributes = slices.Clone(node.Attributes)
		for k := range node.Attributes {
			if node.Attributes[k].Name == "group" {
				node.Attributes[k].I = int64(left)
			}
		}
		if err := p.ReplaceNode(at.Node, node); err != nil {
			return err
		}
	}
	for n := range f.Graph.Nodes {
		node := &f.Graph.Nodes[n]
		if node.OpType != "Reshape" || len(node.Inputs) < 2 || len(node.Outputs) == 0 {
			continue
		}
		if i, ok := values[node.Outputs[0]]; ok && r.Groups.Units[i].IDs != nil {
			if err := r.reshape(p, f, n, &net.Nodes[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// reshape gives a Reshape the shape of what stays of its value. A shape that is computed is
// exchanged for a constant; its 0 is the batch of the operand.
func (r *Removal) reshape(p *wire.Patch, f *wire.File, n int, nd *dag.Node) error {
	kept := make([]bool, nd.Len())
	for e := range kept {
		kept[e] = !r.gone(r.Groups.Units[nd.ID].At(e))
	}
	axes := product(nd.Shape, kept)
	if !slices.Contains(kept, false) || axes == nil {
		return nil // the file is read again, and compared, before it counts
	}
	dims := constantInts(f, f.Graph.Nodes[n].Inputs[1])
	changed := len(dims) != len(nd.Shape)+1
	if changed {
		dims = append([]int64{0}, lists.Convert[int64](extents(axes))...)
	}
	for a, d := range nd.Shape {
		if dims[a+1] == int64(d) && len(axes[a]) != d {
			dims[a+1], changed = int64(len(axes[a])), true
		}
	}
	if !changed {
		return nil
	}
	raw := make([]byte, 0, 8*len(dims))
	for _, d := range dims {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(d))
	}
	name := p.FreshName(f.Graph.Nodes[n].Inputs[1])
	if err := p.AddInitializer(name, wire.Int64, []int64{int64(len(dims))}, wire.RawBytes(raw)); err != nil {
		return err
	}
	return p.RepointInput(n, 1, name)
}

// constantInts are the integers of an initializer or a Constant; nil for others.
func constantInts(f *wire.File, name string) []int64 {
	var t *wire.Tensor
	for i := range f.Graph.Initializers {
		if f.Graph.Initializers[i].Name == name {
			t = &f.Graph.Initializers[i]
		}
	}
	for i := range f.Graph.Nodes {
		if n := &f.Graph.Nodes[i]; n.OpType == "Constant" && slices.Contains(n.Outputs, name) {
			if a := n.Attribute("value"); a != nil {
				t = a.T
			}
		}
	}
	if t == nil || t.DType != wire.Int64 {
		return nil
	}
	v, err := t.Int64s()
	if err != nil {
		return nil
	}
	return slices.Clone(v)
}
