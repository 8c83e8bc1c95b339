package prune

import (
	"context"
	"slices"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/analysis/internal/disjoint"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/internal/lists"
)

// Dead is what can be taken out of a network without changing its function: units whose value
// reaches no output by weights that are not zero, and units that no input reaches, whose value is
// a constant that the biases behind them take.
type Dead struct {
	// Groups are the groups of tied units (dag.Network.Groups) and Gone which of them go.
	// Units that skip connections tie go together, and so do those that a depthwise
	// convolution or a normaliser maps one to one.
	Groups *dag.Groups
	Gone   []bool
	// Kept counts the units that are dead and stay, by the reason.
	Kept map[string]int

	net    *dag.Network
	size   []int   // units of a group, see unitsOf
	ties   []int32 // the group that stands for those tied to it
	moved  map[int32]map[int][]float64
	counts map[*dag.Param]int
}

// The reasons for which dead units stay.
const (
	keptPadding  = "a convolution with padding reads their constant: at its ends it counts for less"
	keptBias     = "a layer that reads their constant has no bias of its own to take it"
	keptRounding = "the biases that would take their constant are stored in 16 bits, which round it"
	keptUneven   = "their constant differs from position to position"
	keptLast     = "a layer would have no units"
	keptFunction = "a function reads them, or a product"
	keptGrouped  = "a convolution in groups reads or makes them, and each group has as many"
)

// FindDead finds the dead units of a network. Biases are no reason to stay: a unit without
// incoming weights is a constant. Errors: a cancelled context. Cost: two passes over the weights
// and one evaluation.
func FindDead(ctx context.Context, n *dag.Network) (*Dead, error) {
	d := &Dead{Groups: n.Groups(), Kept: map[string]int{}, net: n, moved: map[int32]map[int][]float64{}, counts: map[*dag.Param]int{}}
	d.Gone, d.size = make([]bool, d.Groups.Count), unitsOf(n, d.Groups)
	for u := range n.Uses() {
		d.counts[u.Param]++
	}
	d.tie()
	live := paths.FindLive(n, paths.Options{Bias: paths.Exclude})
	reached, reaches := make([]bool, d.Groups.Count), make([]bool, d.Groups.Count)
	for i := range n.Nodes {
		if d.Groups.Units[i].IDs == nil || n.Nodes[i].Zone == dag.Head {
			continue
		}
		for e := range n.Nodes[i].Len() {
			if id := d.Groups.Units[i].At(e); id != dag.NoGroup {
				in, out := live.Element(i, e)
				id = d.ties[id]
				reached[id], reaches[id] = reached[id] || in, reaches[id] || out
			}
		}
	}
	free := d.free()
	values, err := d.constants(ctx, reached, reaches)
	if err != nil {
		return nil, err
	}
	for id := range d.Groups.Count {
		top := d.ties[id]
		dead := !reaches[top] || !reached[top]
		if int32(id) != top || !dead || d.size[top] == 0 {
			continue
		}
		why := free[top]
		if why == "" && reaches[top] {
			why = d.move(top, values)
		}
		if why == "" {
			d.Gone[top] = true
		} else if why != pinned {
			d.Kept[why] += d.size[top]
		}
	}
	for id := range d.Gone {
		d.Gone[id] = d.Gone[d.ties[id]]
	}
	d.Keep(d.lastOf(), keptLast)
	return d, nil
}

// Keep leaves groups in the network after all, with those tied to them, for a reason.
func (d *Dead) Keep(groups []int32, why string) {
	for _, id := range groups {
		top := d.ties[id]
		if !d.Gone[top] {
			continue
		}
		d.Kept[why] += d.size[top]
		for other, t := range d.ties {
			if t == top {
				d.Gone[other] = false
			}
		}
	}
}

// Units is the number of units that go.
func (d *Dead) Units() int {
	n := 0
	for id, gone := range d.Gone {
		if gone && d.ties[id] == int32(id) {
			n += d.size[id]
		}
	}
	return n
}

// Any reports whether a unit goes.
func (d *Dead) Any() bool { return slices.Contains(d.Gone, true) }

// Net is the network in which biases have taken the constants of the units that go: without
// these it computes the same, but for the rounding of the biases in their stored type.
func (d *Dead) Net() *dag.Network {
	add := map[int][]float64{}
	for id, at := range d.moved {
		if !d.Gone[id] {
			continue
		}
		for node, delta := range at {
			if add[node] == nil {
				add[node] = make([]float64, len(delta))
			}
			for i, x := range delta {
				add[node][i] += x
			}
		}
	}
	to := map[*dag.Use]*dag.Param{}
	for node, delta := range add {
		u, element, coef := bias(d.net.Nodes[node].Op.(*dag.Linear))
		v := u.Param.Values()
		for i, x := range delta {
			v[element(i)] += x / coef
		}
		to[u] = u.Param.WithValues(nil, v)
	}
	return d.net.Replace(func(u *dag.Use) *dag.Param {
		if p := to[u]; p != nil {
			return p
		}
		return u.Param
	})
}

// unitsOf counts the rows of fully connected layers and convolutions in each group.
func unitsOf(n *dag.Network, g *dag.Groups) []int {
	out := make([]int, g.Count)
	for nd, l := range dag.Each[*dag.Linear](n) {
		if nd.Zone == dag.Body && l.Matrices() != nil {
			for _, id := range g.Rows[nd.ID] {
				out[id]++
			}
		}
	}
	return out
}

// oneToOne reports whether each unit of a layer is made of the input of the same index alone.
func oneToOne(l *dag.Linear) bool {
	if l.Map == nil {
		return false
	}
	if c, ok := l.Map.(*dag.Conv); ok {
		return c.Groups > 1 && c.Groups == c.InChannels && c.Groups == c.OutChannels
	}
	return l.Map.Mixes() == 0
}

// tie finds which groups go only together; sizes are then of those that stand for others.
func (d *Dead) tie() {
	ties := disjoint.New(d.Groups.Count)
	for nd, l := range dag.Each[*dag.Linear](d.net) {
		if nd.Zone != dag.Body || !oneToOne(l) {
			continue
		}
		rows, cols := d.Groups.Rows[nd.ID], d.Groups.Cols[nd.ID]
		for i, a := range rows {
			if b := cols[i]; a != dag.NoGroup && b != dag.NoGroup {
				ties.Join(a, b)
			}
		}
	}
	d.ties = make([]int32, d.Groups.Count)
	for i := range d.ties {
		top := ties.Least(int32(i))
		if d.ties[i] = top; top != int32(i) {
			d.size[top] += d.size[i]
			d.size[i] = 0
		}
	}
}

// pinned is why outputs and what functions read stay, which nobody would expect to go.
const pinned = "pinned"

// free says by group why it may not go; empty where it may.
func (d *Dead) free() []string {
	out := make([]string, d.Groups.Count)
	for id, pin := range d.Groups.Pin {
		if pin != "" {
			out[d.ties[id]] = pinned
		} else if d.Groups.Inverse[id] >= 0 {
			out[d.ties[id]] = keptFunction
		}
	}
	stay := func(ids []int32, why string) {
		for _, id := range ids {
			if id != dag.NoGroup && out[d.ties[id]] == "" {
				out[d.ties[id]] = why
			}
		}
	}
	for nd := range dag.Each[*dag.Func](d.net) {
		stay(d.Groups.Units[nd.ID].IDs, keptFunction)
	}
	for nd, l := range dag.Each[*dag.Linear](d.net) {
		if l.Map != nil && l.Map.Mixes() > 1 && !oneToOne(l) {
			stay(d.Groups.Rows[nd.ID], keptGrouped)
			stay(d.Groups.Cols[nd.ID], keptGrouped)
		}
	}
	return out
}

// constants evaluates the operands of the layers that read constants, on zeros, which play no part.
func (d *Dead) constants(ctx context.Context, reached, reaches []bool) (map[int][]float64, error) {
	var want []int
	for nd, l := range dag.Each[*dag.Linear](d.net) {
		if nd.Zone != dag.Body || l.Map == nil || slices.Contains(want, nd.In[0]) {
			continue
		}
		if slices.ContainsFunc(d.Groups.Cols[nd.ID], func(id int32) bool {
			return id != dag.NoGroup && !reached[d.ties[id]] && reaches[d.ties[id]]
		}) {
			want = append(want, nd.In[0])
		}
	}
	out := map[int][]float64{}
	if want == nil {
		return out, nil
	}
	// No constant comes of a function that is not evaluated.
	net, _, _, err := d.net.Cut()
	if err != nil {
		return nil, err
	}
	inputs := lists.Map(net.Inputs, func(p dag.Port) []float64 { return make([]float64, net.Nodes[p.Node].Len()) })
	values, err := eval.Run(ctx, net, inputs, 1, eval.Options{Values: want})
	for k, node := range want {
		if err == nil {
			out[node] = values[k]
		}
	}
	return out, err
}

// move notes what the biases behind the units of a group take of their constants; it says why
// one cannot.
func (d *Dead) move(top int32, values map[int][]float64) (why string) {
	at := map[int][]float64{}
	for nd, l := range dag.Each[*dag.Linear](d.net) {
		if nd.Zone != dag.Body || l.Map == nil || oneToOne(l) {
			continue
		}
		in, x := l.Map.In(), values[nd.In[0]]
		constant, found := make([]float64, in.N), false
		seen := make([]bool, in.N)
		for e := range in.Len() {
			j := in.At(e)
			if id := d.Groups.Cols[nd.ID][j]; id == dag.NoGroup || d.ties[id] != top {
				continue
			}
			if seen[j] && constant[j] != x[e] {
				return keptUneven
			}
			seen[j], constant[j] = true, x[e]
			found = found || x[e] != 0
		}
		if !found {
			continue
		}
		if c, ok := l.Map.(*dag.Conv); ok && !whole(c) {
			return keptPadding
		}
		u, element, coef := bias(l)
		if u == nil || u.Param.Storage != dag.InPlace || d.counts[u.Param] != 1 || coef == 0 {
			return keptBias
		}
		if t := u.Param.Type; t == dag.Float16 || t == dag.BFloat16 {
			return keptRounding
		}
		taken := make([]bool, u.Param.Len())
		for i := range l.Rows() {
			if taken[element(i)] {
				return keptBias
			}
			taken[element(i)] = true
		}
		at[nd.ID] = carried(l, constant)
	}
	d.moved[top] = at
	return ""
}

// whole reports whether all weights of a convolution meet an element at every position.
func whole(c *dag.Conv) bool {
	if c.Transposed {
		return false
	}
	out := c.Window.Out()
	for i := range out {
		if c.Window.At(i, 0, 0) < 0 || c.Window.End(i, out[i]) > c.Window.In[i] {
			return false
		}
	}
	return true
}

// carried is what each unit of a layer gets of constants of its inputs.
func carried(l *dag.Linear, constant []float64) []float64 {
	out := make([]float64, l.Rows())
	for _, m := range l.Matrices() {
		for e := range m.Len() {
			if i, j := m.Place(e); constant[j] != 0 {
				out[i] += m.At(e) * constant[j]
			}
		}
	}
	for i, s := range l.Scale() {
		out[i] *= s
	}
	return out
}

// bias is the last number that a layer adds to each unit, with the element of a unit and what
// multiplies it; nil where the layer has none, or multiplies behind it.
func bias(l *dag.Linear) (u *dag.Use, element func(i int) int, coef float64) {
	if len(l.Stages) == 0 {
		return nil, nil, 0
	}
	s := &l.Stages[len(l.Stages)-1]
	switch {
	case s.Add != nil && s.Add.Param != nil && !s.Add.Inverse:
		return &s.Add.Use, s.Add.Element, s.Add.Coef
	case s.Add == nil && s.Mul == nil && s.Norm != nil:
		return &s.Norm.Beta, func(i int) int { return i }, 1
	}
	return nil, nil, 0
}

// lastOf lists a group of each layer all of whose units would go.
func (d *Dead) lastOf() []int32 {
	var out []int32
	for nd := range dag.Each[*dag.Linear](d.net) {
		rows := d.Groups.Rows[nd.ID]
		if nd.Zone == dag.Body && len(rows) > 0 && !slices.ContainsFunc(rows, func(id int32) bool { return id == dag.NoGroup || !d.Gone[id] }) {
			out = append(out, rows[0])
		}
	}
	return out
}
