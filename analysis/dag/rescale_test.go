package dag_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/analysis/eval"
)

func evaluate(t interface{ Fatal(...any) }, n *dag.Network, in [][]float64, batch int, nodes []int) [][]float64 {
	out, err := eval.Run(context.Background(), n, in, batch, eval.Options{Values: nodes})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// all lists the nodes that the evaluator gives element by element: not places in
// tables, and not layers inside functions.
func all(n *dag.Network) []int {
	var ids []int
	for i := range n.Nodes {
		f, ok := n.Nodes[i].Op.(*dag.Func)
		if _, unseen := n.Unevaluated([]int{i}); !unseen && !(ok && f.Kind == dag.OneHot) {
			ids = append(ids, i)
		}
	}
	return ids
}

// Rescaling multiplies every value of the body by its unit's factor, and so
// leaves the outputs as they are; with factors that are powers of two, in every
// bit. A factor drawn elsewhere would show: factors are between 1/16 and 16.
func TestRescaleKeepsTheFunction(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := []dag.DType{dag.Float64, dag.Float32}[rapid.IntRange(0, 1).Draw(t, "type")]
		exact := rapid.Bool().Draw(t, "powers of two")
		features := dagtest.Feature(dagtest.Partly)
		if !exact {
			features &^= dagtest.Jump
		}
		net := dagtest.Random(t, dagtest.Options{Features: features, Type: typ, Zeros: 0.1})
		g := net.Groups()
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "factors"), 1))
		c := g.Ones()
		for i := range c {
			switch {
			case g.Pin[i] != "":
			case exact:
				c[i] = math.Ldexp(1, rng.IntN(9)-4)
			default:
				c[i] = math.Exp2(8*rng.Float64() - 4)
			}
		}
		g.Invert(c)
		scaled, err := net.Rescale(g, c)
		if err != nil {
			t.Fatal(err)
		}
		const batch = 3
		in := dagtest.Input(net, batch, 11)
		before, after := evaluate(t, net, in, batch, all(net)), evaluate(t, scaled, in, batch, all(net))
		// Stored weights are rounded once more, and values cancel: some hundred
		// roundings of the type, relative to the largest value met.
		top := 1.0
		for i := range before {
			for e, x := range before[i] {
				top = max(top, math.Abs(x), math.Abs(after[i][e]))
			}
		}
		tol := 1000 * typ.Epsilon() * top
		for k, i := range all(net) {
			m := net.Nodes[i].Len()
			for e, x := range before[k] {
				f := 1.0
				if u := g.Units[i]; u.IDs != nil {
					if id := u.At(e % m); id != dag.NoGroup {
						f = c[id]
					}
				}
				got, want := after[k][e], f*x
				if exact && got != want || !(math.Abs(got-want) <= tol) {
					t.Fatalf("node %d element %d: %v rescaled to %v, want %v\n%s", i, e%m, x, got, want, net)
				}
			}
		}
		// The factors' inverse leads back, with powers of two to the same bits.
		back := make([]float64, len(c))
		for i := range c {
			back[i] = 1 / c[i]
		}
		again, err := scaled.Rescale(scaled.Groups(), back)
		if err != nil {
			t.Fatal(err)
		}
		if exact {
			if d := cmp.Diff(before, evaluate(t, again, in, batch, all(net))); d != "" {
				t.Fatalf("back again: %s", d)
			}
		}
	})
}

// unionFind is the brute force of Groups over the elements of the unrolled graph: each
// has one member for its factor and one for 1 over it, so that inverse factors are ties
// like others.
type unionFind map[int]int

func (u unionFind) root(a int) int {
	for u[a] != a {
		a = u[a]
	}
	return a
}

func (u unionFind) find(v int) int    { return u.root(2 * v) }
func (u unionFind) inverse(v int) int { return u.root(2*v + 1) }

func (u unionFind) tie(a, b int) {
	u[u.find(a)] = u.find(b)
	u[u.inverse(a)] = u.inverse(b)
}

func (u unionFind) oppose(a, b int) {
	u[u.find(a)] = u.inverse(b)
	u[u.inverse(a)] = u.find(b)
}

// meets ties what a product ties, with the elements of its value and of its operands, of
// which zero ones are -1; given says that a value has factors of 1 alone. It returns the
// operands whose factors go through, and which elements of the value have none.
func meets(sets unionFind, form dag.Form, value []int, xs [][]int, given func(x []int) bool) (carried []int, zero []bool) {
	zero = make([]bool, len(value))
	through := func(to, from int) {
		zero[to] = from < 0
		if from >= 0 {
			sets.tie(value[to], from)
		}
	}
	var k int
	switch {
	case !given(xs[0]):
	case !given(xs[1]) && form != dag.Form(dag.Over{}):
		k = 1
	default:
		return nil, nil
	}
	m, ok := form.(*dag.Matrices)
	if !ok {
		for e := range value {
			through(e, xs[k][e])
		}
		return []int{k}, zero
	}
	left := func(w, i, s int) int { return xs[0][(int(m.Left[w])*m.M+i)*m.K+s] }
	right := func(w, s, j int) int { return xs[1][(int(m.Right[w])*m.K+s)*m.N+j] }
	// together ties n elements and returns one that is not zero, or -1.
	together := func(n int, at func(int) int) int {
		one := -1
		for i := range n {
			if v := at(i); v >= 0 {
				if one >= 0 {
					sets.tie(one, v)
				}
				one = v
			}
		}
		return one
	}
	if !given(xs[0]) && !given(xs[1]) {
		for w := range m.Left {
			for s := range m.K {
				a := together(m.M, func(i int) int { return left(w, i, s) })
				b := together(m.N, func(j int) int { return right(w, s, j) })
				if a >= 0 && b >= 0 {
					sets.oppose(a, b)
				}
			}
		}
		return []int{0, 1}, nil
	}
	for e := range value {
		w, i, j := e/(m.M*m.N), e/m.N%m.M, e%m.N
		through(e, together(m.K, func(s int) int {
			if k == 0 {
				return left(w, i, s)
			}
			return right(w, s, j)
		}))
	}
	return []int{k}, zero
}

// Groups equals the union of single elements: identity edges tie, a layer with
// weights starts anew, its positions are one unit, and products tie what they carry.
func TestGroupsAgainstElements(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		net := dagtest.Random(t, dagtest.Options{Features: dagtest.Partly &^ dagtest.Fixed, Type: dag.Float64})
		g := net.Groups()
		r := dagtest.Unroll(net)
		sets := unionFind{}
		for v := range r.Offset[len(net.Nodes)] {
			sets[2*v], sets[2*v+1] = 2*v, 2*v+1
		}
		tie := sets.tie
		carried := make([][]int, len(net.Nodes))
		zero := map[int]bool{} // elements that are padding
		first := -1
		pinned := map[int]bool{}
		for i := range net.Nodes {
			nd := &net.Nodes[i]
			at := func(e int) int { return r.Offset[i] + e }
			op, function := nd.Op.(*dag.Func)
			if nd.Zone == dag.Head {
				continue
			}
			if function && nd.Zone == dag.Between && op.Form != nil {
				elements := func(i int) []int {
					out := make([]int, net.Nodes[i].Len())
					for e := range out {
						if out[e] = r.Offset[i] + e; zero[out[e]] {
							out[e] = -1
						}
					}
					return out
				}
				given := func(x []int) bool {
					return !slices.ContainsFunc(x, func(v int) bool { return v >= 0 && (first < 0 || sets.find(v) != sets.find(first)) })
				}
				var none []bool
				if carried[i], none = meets(sets, op.Form, elements(i), [][]int{elements(nd.In[0]), elements(nd.In[1])}, given); none != nil {
					for e, x := range none {
						zero[at(e)] = x
					}
					continue
				}
			}
			if nd.Zone == dag.Preamble || function {
				for e := range nd.Len() {
					if first < 0 {
						first = at(e)
					}
					tie(at(e), first)
				}
				continue
			}
			if s, ok := nd.Op.(*dag.Select); ok {
				for e := range nd.Len() {
					j := e // without an index a reshape, which keeps the order
					if s.Index != nil {
						j = int(s.Index[e])
					}
					zero[at(e)] = j < 0 || zero[r.Offset[nd.In[0]]+j]
				}
			}
			l, linear := nd.Op.(*dag.Linear)
			if !linear {
				carry := nd.Len() > 0
				for _, x := range r.Edges {
					if x.Node != i {
						continue
					}
					if _, sel := nd.Op.(*dag.Select); !sel && zero[x.From] {
						// A sum or maximum with zero follows the others; alone it is zero.
						continue
					}
					tie(x.From, x.To)
				}
				if _, sel := nd.Op.(*dag.Select); !sel && carry {
					for e := range nd.Len() {
						any, none := false, true
						for _, x := range r.Edges {
							if x.Node == i && x.To == at(e) {
								any = true
								none = none && zero[x.From]
							}
						}
						zero[at(e)] = any && none
					}
				}
				// Windows belong to one channel, whose positions are tied.
				if p, ok := nd.Op.(*dag.Pool); ok && p.Window != nil {
					perUnit(dag.Axis{Outer: 1, N: p.Channels, Inner: dag.Size(p.Window.In)}, r.Offset[nd.In[0]], zero, tie)
					perUnit(dag.Axis{Outer: 1, N: p.Channels, Inner: dag.Size(p.Window.Out())}, at(0), zero, tie)
				}
				continue
			}
			if l.Map != nil {
				perUnit(l.Map.In(), r.Offset[nd.In[0]], zero, tie)
			}
			perUnit(l.Out(), at(0), zero, tie)
			if !l.Free() {
				l.Elements(func(_, _, out, in int, _ float64) { tie(r.Offset[nd.In[0]]+in, at(out)) })
			}
		}
		pin := func(node int) {
			if net.Nodes[node].Zone == dag.Head {
				return
			}
			for e := range net.Nodes[node].Len() {
				if v := r.Offset[node] + e; !zero[v] {
					pinned[sets.find(v)] = true
				}
			}
		}
		for _, p := range net.Outputs {
			pin(p.Node)
		}
		// What functions, those of the head too, read.
		for i := range net.Nodes {
			if _, ok := net.Nodes[i].Op.(*dag.Func); ok {
				for k, j := range net.Nodes[i].In {
					if !slices.Contains(carried[i], k) {
						pin(j)
					}
				}
			}
			if net.Nodes[i].Zone == dag.Head {
				for _, j := range net.Nodes[i].In {
					pin(j)
				}
			}
		}
		if first >= 0 {
			pinned[sets.find(first)] = true
		}
		// Units with inverse factors that weights read too, and those that meet themselves.
		opposed := map[int]bool{} // sets with factors of both kinds
		kinds := map[int][2]bool{}
		for a := range 2 * r.Offset[len(net.Nodes)] {
			k := kinds[sets.root(a)]
			k[a%2] = true
			kinds[sets.root(a)] = k
			opposed[sets.root(a)] = k[0] && k[1]
		}
		for i := range net.Nodes {
			if l, ok := net.Nodes[i].Op.(*dag.Linear); ok && l.Map != nil && l.Free() && net.Nodes[i].Zone == dag.Body {
				for e := range net.Nodes[net.Nodes[i].In[0]].Len() {
					if v := r.Offset[net.Nodes[i].In[0]] + e; !zero[v] && opposed[sets.find(v)] {
						pinned[sets.find(v)] = true
					}
				}
			}
		}
		for v := range r.Offset[len(net.Nodes)] {
			if a, b := sets.find(v), sets.inverse(v); a == b || pinned[a] || pinned[b] {
				sets[a] = b
				pinned[b] = true
			}
		}
		// The same partition: each set is one group and each group one set.
		group, set := map[int]int32{}, map[int32]int{}
		for i := range net.Nodes {
			if net.Nodes[i].Zone == dag.Head {
				continue
			}
			for e := range net.Nodes[i].Len() {
				v, id := r.Offset[i]+e, g.Units[i].At(e)
				if zero[v] || id == dag.NoGroup {
					if zero[v] != (id == dag.NoGroup) {
						t.Fatalf("node %d element %d: group %d, zero %v\n%s", i, e, id, zero[v], net)
					}
					continue
				}
				s := sets.find(v)
				if old, ok := group[s]; ok && old != id {
					t.Fatalf("node %d element %d: groups %d and %d are tied\n%s", i, e, old, id, net)
				}
				if old, ok := set[id]; ok && old != s {
					t.Fatalf("node %d element %d: group %d joins what nothing ties\n%s", i, e, id, net)
				}
				group[s], set[id] = id, s
				if pinned[s] != (g.Pin[id] != "") {
					t.Fatalf("node %d element %d: pinned %v, want %v\n%s", i, e, g.Pin[id], pinned[s], net)
				}
			}
		}
	})
}

// perUnit ties the elements of each index of an axis.
func perUnit(a dag.Axis, offset int, zero map[int]bool, tie func(a, b int)) {
	first := map[int]int{}
	for e := range a.Len() {
		v := offset + e
		if zero[v] {
			continue
		}
		if old, ok := first[a.At(e)]; ok {
			tie(v, old)
		}
		first[a.At(e)] = v
	}
}

// chain is x -> fc1 -> relu -> fc2, with what build does to fc1's value.
func chain(t *testing.T, build func(b *dag.Builder, h int) int) *dag.Network {
	t.Helper()
	var b dag.Builder
	x := b.Input("x", 2)
	h := b.Affine("fc1", x, 2, []float64{6, 1, 1, 4}, []float64{1, 2})
	h = b.Activation("relu", h, 0)
	b.Output("y", b.Affine("fc2", build(&b, h), 2, []float64{1, 1, 1, 2}, nil))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPins(t *testing.T) {
	add := func(coef float64) func(b *dag.Builder, h int) int {
		return func(b *dag.Builder, h int) int {
			return b.Node(dag.Node{Name: "plus", Source: "Add", In: []int{h}, Shape: []int{2}, Op: &dag.Linear{
				Map:    &dag.Diagonal{Axis: dag.Axis{Outer: 1, N: 2, Inner: 1}},
				Stages: []dag.Stage{{Add: &dag.Vector{Coef: coef}}},
			}})
		}
	}
	norm := func(unwritable string) func(b *dag.Builder, h int) int {
		return func(b *dag.Builder, h int) int {
			use := func(name string) dag.Use {
				p := dag.NewParam64(name, []int{2}, []float64{1, 2})
				if name == unwritable {
					p.Storage, p.Reason = dag.Unwritable, "it is an input"
				}
				return dag.Use{Param: p}
			}
			return b.Node(dag.Node{Name: "bn", Source: "BatchNormalization", In: []int{h}, Shape: []int{2}, Op: &dag.Linear{
				Map: &dag.Diagonal{Axis: dag.Axis{Outer: 1, N: 2, Inner: 1}},
				Stages: []dag.Stage{{Norm: &dag.BatchNorm{
					Gamma: use("gamma"), Beta: use("beta"),
					Mean: use("mean"), Var: use("var"), Epsilon: 1e-5,
				}}},
			}})
		}
	}
	for _, c := range []struct {
		name  string
		build func(b *dag.Builder, h int) int
		// want is the reasons of the pins but for the input's and the output's, in
		// order of groups: fc1's two units, then those after.
		want []string
	}{
		{"nothing", func(b *dag.Builder, h int) int { return h }, []string{"", ""}},
		{
			"an output", func(b *dag.Builder, h int) int { b.Output("h", h); return h },
			[]string{`graph output "h"`, `graph output "h"`},
		},
		{"the head", func(b *dag.Builder, h int) int {
			b.Node(dag.Node{
				Name: "soft", Source: "Softmax", In: []int{h}, Shape: []int{2},
				Op: &dag.Func{Apply: func(dst []float64, in ...[]float64) {}},
			})
			return h
		}, []string{`enters "soft" (Softmax), which is not homogeneous`, `enters "soft" (Softmax), which is not homogeneous`}},
		{
			"a skip from the input", func(b *dag.Builder, h int) int { return b.Sum("add", 0, h) },
			[]string{"an input of the network", "an input of the network"},
		},
		{
			"a number stored nowhere", add(0.5),
			[]string{`"plus" (Add) adds a number that is stored nowhere`, `"plus" (Add) adds a number that is stored nowhere`},
		},
		{"zero stored nowhere", add(0), []string{"", ""}},
		{"a norm", norm(""), []string{"", "", "", ""}},
		{"a norm's mean", norm("mean"), []string{`"mean" cannot be stored: it is an input`, `"mean" cannot be stored: it is an input`, "", ""}},
		{"a norm's scale", norm("gamma"), []string{
			`"gamma" cannot be stored: it is an input`, `"gamma" cannot be stored: it is an input`,
			`"gamma" cannot be stored: it is an input`, `"gamma" cannot be stored: it is an input`,
		}},
		{"a norm's shift", norm("beta"), []string{"", "", `"beta" cannot be stored: it is an input`, `"beta" cannot be stored: it is an input`}},
		{"a norm's variance", norm("var"), []string{"", "", "", ""}},
	} {
		n := chain(t, c.build)
		g := n.Groups()
		var got []string
		seen := map[int32]bool{dag.InputGroup: true}
		for i := range n.Nodes {
			if l, ok := n.Nodes[i].Op.(*dag.Linear); ok && l.Free() && n.Nodes[i].Name != "fc2" {
				for _, id := range g.Rows[i] {
					if id == dag.InputGroup || !seen[id] {
						got = append(got, g.Pin[id])
					}
					seen[id] = true
				}
			}
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
		// A factor for a pinned group is refused.
		for id := range g.Pin {
			f := g.Ones()
			f[id] = 2
			_, err := n.Rescale(g, f)
			if (err != nil) != (g.Pin[id] != "") {
				t.Errorf("%s: factor of group %d (%s): error %v", c.name, id, g.Pin[id], err)
			}
			if err != nil && !strings.Contains(err.Error(), g.Pin[id]) {
				t.Errorf("%s: error %v does not say %q", c.name, err, g.Pin[id])
			}
		}
	}
}

func TestRescaleRefusesFactors(t *testing.T) {
	n := chain(t, func(b *dag.Builder, h int) int { return h })
	g := n.Groups()
	for _, bad := range []float64{0, -1, math.NaN(), math.Inf(1)} {
		c := g.Ones()
		c[1] = bad
		if _, err := n.Rescale(g, c); err == nil || !strings.Contains(err.Error(), fmt.Sprint(bad)) {
			t.Errorf("factor %v: error %v", bad, err)
		}
	}
}

// An index may say that two units read one stored number; once their factors
// differ, each gets its own, and as many numbers as before do not hide that.
func TestRescaleSplitsAnIndexedVector(t *testing.T) {
	var b dag.Builder
	x := b.Input("x", 1)
	w := dag.NewParam64("w", []int{2, 1}, []float64{1, 1})
	bias := dag.NewParam64("bias", []int{2}, []float64{3, 5})
	h := b.Node(dag.Node{Name: "fc1", Source: "Gemm", In: []int{x}, Shape: []int{2}, Op: &dag.Linear{
		Map:    &dag.Dense{W: dag.Use{Param: w}, Rows: 2, Cols: 1},
		Stages: []dag.Stage{{Add: &dag.Vector{Use: dag.Use{Param: bias}, Coef: 1, Index: []int32{1, 1}}}},
	}})
	b.Output("y", b.Affine("fc2", b.Activation("relu", h, 0), 1, []float64{1, 1}, nil))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	g := n.Groups()
	c := g.Ones()
	c[g.Rows[h][0]], c[g.Rows[h][1]] = 2, 4
	r, err := n.Rescale(g, c)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]float64{10, 20}, r.Nodes[h].Op.(*dag.Linear).Bias()); d != "" {
		t.Error(d)
	}
}

// Uses of one stored tensor that need the same values still share one.
func TestRescaleKeepsTensorsShared(t *testing.T) {
	var b dag.Builder
	x := b.Input("x", 2)
	w := dag.NewParam64("w", []int{2, 2}, []float64{1, 2, 3, 4})
	layer := func(in int) int {
		return b.Node(dag.Node{Name: "fc", Source: "Gemm", In: []int{in}, Shape: []int{2}, Op: &dag.Linear{
			Map: &dag.Dense{W: dag.Use{Param: w}, Rows: 2, Cols: 2},
		}})
	}
	one, two := layer(x), layer(x)
	b.Output("y", b.Affine("out", b.Sum("add", b.Activation("r1", one, 0), b.Activation("r2", two, 0)), 1, []float64{1, 1}, nil))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	g := n.Groups()
	c := g.Ones()
	c[g.Rows[one][0]] = 2 // tied to two's unit 0 by the sum
	r, err := n.Rescale(g, c)
	if err != nil {
		t.Fatal(err)
	}
	p := r.Params()
	if len(p) != 2 || p[0].Origin() != w || p[0] == w {
		t.Fatalf("params after: %v", p)
	}
	if d := cmp.Diff([]float64{2, 4, 3, 4}, p[0].Values()); d != "" {
		t.Error(d)
	}
}
