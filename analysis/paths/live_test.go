package paths

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
)

// Live elements are those that edges of non-zero weight join to a start of their
// segment and to an end, found edge by edge.
func TestLive(t *testing.T) {
	for seed := range uint64(3000) {
		opt := dagtest.Options{Features: dagtest.Partly &^ dagtest.Jump, Zeros: 0.4}
		n := dagtest.FromSeed(seed, opt)
		bias := Bias(seed % 2)
		got := FindLive(n, Options{Bias: bias})
		u := dagtest.Unroll(n)
		in, out := make([]bool, u.Offset[len(n.Nodes)]), make([]bool, u.Offset[len(n.Nodes)])
		for i := range n.Nodes {
			switch n.Nodes[i].Op.(type) {
			case dag.Input, *dag.Func:
				fill(in[u.Offset[i]:u.Offset[i+1]])
			}
		}
		for _, e := range u.Edges {
			preamble := n.Nodes[e.Node].Zone == dag.Preamble
			switch {
			case e.Kind == dagtest.FromOne:
				in[e.To] = in[e.To] || bias == Include && e.W != 0
			case e.W != 0 || preamble:
				in[e.To] = in[e.To] || in[e.From]
			}
		}
		for _, i := range n.Ends() {
			fill(out[u.Offset[i]:u.Offset[i+1]])
		}
		for k := len(u.Edges) - 1; k >= 0; k-- {
			e := u.Edges[k]
			if e.Kind != dagtest.FromOne && e.W != 0 && n.Nodes[e.Node].Zone == dag.Body {
				out[e.From] = out[e.From] || out[e.To]
			}
		}
		for i, weighted := range n.Weighted() {
			if !weighted {
				continue
			}
			for e := range n.Nodes[i].Len() {
				if v := u.Offset[i] + e; has(got.in[i], e) != in[v] || has(got.out[i], e) != out[v] {
					t.Fatalf("seed %d, node %d element %d: %v %v, want %v %v\n%s", seed, i, e, has(got.in[i], e), has(got.out[i], e), in[v], out[v], n)
				}
			}
		}
	}
}

// The bias of a layer that multiplies element by element makes its own elements live, not the operand's.
func TestLiveBeforeBias(t *testing.T) {
	var b dag.Builder
	x := b.Input("x", 1)
	h := b.Activation("relu", b.Affine("fc1", x, 2, []float64{1, 0}, nil), 0)
	shift := b.Node(dag.Node{Name: "shift", Source: "Add", In: []int{h}, Shape: []int{2}, Op: &dag.Linear{
		Map:    &dag.Diagonal{Axis: dag.Axis{Outer: 1, N: 2, Inner: 1}},
		Stages: []dag.Stage{{Add: &dag.Vector{Use: dag.Use{Param: dag.NewParam64("c", []int{2}, []float64{1, 1})}, Coef: 1}}},
	}})
	b.Output("y", b.Affine("fc2", b.Activation("relu2", shift, 0), 1, []float64{1, 1}, nil))
	n, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	live := FindLive(n, Options{Bias: Include})
	for e, want := range []bool{true, false} {
		if reached, _ := live.Element(h, e); reached != want {
			t.Errorf("element %d before the bias is reached: %v, want %v", e, reached, want)
		}
		if reached, _ := live.Element(shift, e); !reached {
			t.Errorf("element %d is not reached from its bias", e)
		}
	}
}

func has(s *set, e int) bool { return s != nil && s.at(e) }

func fill(x []bool) {
	for i := range x {
		x[i] = true
	}
}

// Where paths go through products, live units are those with a kappa.
func TestLiveIsOfKappa(t *testing.T) {
	for seed := range uint64(1000) {
		n := dagtest.FromSeed(seed, dagtest.Options{Features: dagtest.Partly &^ dagtest.Jump, Zeros: 0.4})
		g, bias := n.Groups(), Bias(seed%2)
		got := FindLive(n, Options{Bias: bias, Carries: g.Carries})
		opt := Options{Bias: bias, Carries: g.Carries}
		k := Forward(n, []float64{2}, opt).Kappa(0, opt) // of all nodes
		for i, nd := range n.Nodes {
			if nd.Zone != dag.Body {
				continue
			}
			a := dag.Axis{Outer: 1, N: nd.Len(), Inner: 1}
			want := make([]bool, a.N)
			in, out := k.In(i), k.Out(i)
			for e := range in {
				want[a.At(e)] = want[a.At(e)] || !in[e].IsZero() && !out[e].IsZero()
			}
			if d := cmp.Diff(want, got.Units(i, a)); d != "" {
				t.Fatalf("seed %d, node %d (-kappa +liveness)\n%s%s", seed, i, d, n)
			}
		}
	}
}
