package lower

import (
	"fmt"
	"sort"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/source"
	"github.com/relupath/relupath/onnxio/internal/topology"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// newestOpset is the newest version of the standard operators whose changes are
// known to the lowerings.
const newestOpset = 28

// maxNamed is how many nodes of a kind a warning names.
const maxNamed = 10

// Options say how a graph is lowered. The zero value works.
type Options struct {
	// InputShape and Whole are those of onnxio.Options.
	InputShape map[string][]int
	Whole      bool
	// Bind takes inputs as constants.
	Bind map[string]*wire.Tensor
}

// Obstacle is one reason why a graph cannot be lowered: see onnxio.Obstacle.
type Obstacle struct{ Node, Op, Reason, Remedy string }

// Result is what became of a graph.
type Result struct {
	// Net is the network, nil where there are Obstacles, which are in file order.
	Net       *dag.Network
	Obstacles []Obstacle
	// Examples are shapes of open inputs with which the graph can be lowered.
	Examples []map[string][]int
	// Batchless, Mixed and Warnings are those of onnxio.Model.
	Batchless bool
	Mixed     string
	Warnings  []string
	// Unbatched is that of onnxio.Model.
	Unbatched []string
	// Tensors are the stored ones of two or more axes.
	Tensors []*source.Tensor
	// Values has the nodes of the graph's values by their names.
	Values map[string]int
}

// Graph turns the nodes of a file that outputs need into a network. An error says that
// the file is no valid model; what a valid one cannot be read for is in Obstacles.
func Graph(f *wire.File, opt Options) (*Result, error) {
	t, err := topology.Decode(f)
	if err != nil {
		return nil, err
	}
	order, unused := live(t)
	if k := unversioned(f); k >= 0 {
		n := &f.Graph.Nodes[k]
		return &Result{Obstacles: []Obstacle{{
			Node: nodeLabel(n, k), Op: opLabel(n),
			Reason: fmt.Sprintf("the file (IR version %d) does not say which version of the operators it means", f.Model.IRVersion),
			Remedy: "export it again with IR version 3 or newer, which names an operator set",
		}}}, nil
	}
	if err := checkForms(&f.Model, &f.Graph); err != nil {
		return nil, err
	}
	l := lowerGraph(f, order, opt)
	if len(l.obstacles) == 0 && len(l.outputs) == 0 && len(l.roots) == 0 {
		l.obstacle(Obstacle{
			Node: f.Graph.Outputs[0].Name, Op: "graph output",
			Reason: "no output of the model holds numbers that can be computed",
		})
	}
	r := &Result{Batchless: l.batchless, Mixed: l.mixed, Unbatched: l.unbatched, Examples: l.examples}
	if len(l.obstacles) == 0 {
		if r.Net, err = l.build(); err != nil {
			return nil, err
		}
		classify(r.Net)
	}
	sort.SliceStable(l.obstacles, func(i, j int) bool { return l.obstacles[i].at < l.obstacles[j].at })
	for _, o := range l.obstacles {
		r.Obstacles = append(r.Obstacles, o.Obstacle)
	}
	r.Tensors, r.Values = l.tensors, l.named
	r.Warnings = append(remarks(f, unused), append(l.unevaluated(), l.warnings...)...)
	return r, nil
}

// unversioned returns the first node of the standard operators in a file that
// imports no version of them, -1 for none. Runtimes refuse such files: each
// version gives some operators another meaning.
func unversioned(f *wire.File) int {
	for _, o := range f.Model.OpsetImports {
		if wire.Domain(o.Domain) == "" {
			return -1
		}
	}
	for k := range f.Graph.Nodes {
		if wire.Domain(f.Graph.Nodes[k].Domain) == "" {
			return k
		}
	}
	return -1
}

// live returns the nodes that some output needs, in order, and the others.
func live(t *topology.Graph) (order, unused []int) {
	needed := make([]bool, len(t.Nodes))
	need := func(value int) {
		if value != topology.Absent && t.Values[value].Producer != nil {
			needed[t.Values[value].Producer.Node] = true
		}
	}
	for _, v := range t.Outputs {
		need(v)
	}
	for i := len(t.Order) - 1; i >= 0; i-- {
		n := &t.Nodes[t.Order[i]]
		if !needed[t.Order[i]] {
			continue
		}
		for _, v := range n.Inputs {
			need(v)
		}
		for _, v := range n.Captures {
			need(v)
		}
	}
	for _, k := range t.Order {
		if needed[k] {
			order = append(order, k)
		} else {
			unused = append(unused, k)
		}
	}
	return order, unused
}

// remarks are warnings about the file itself.
func remarks(f *wire.File, unused []int) []string {
	var out []string
	if v := f.Model.Opset(""); v > newestOpset {
		out = append(out, fmt.Sprintf("opset %d is newer than the newest known one, %d: operators are read as of opset %d",
			v, newestOpset, newestOpset))
	}
	if len(unused) > 0 {
		names := make([]string, len(unused))
		for i, k := range unused {
			n := &f.Graph.Nodes[k]
			names[i] = fmt.Sprintf("%q (%s)", nodeLabel(n, k), opLabel(n))
		}
		out = append(out, "no output needs "+words.Some(names, maxNamed))
	}
	return out
}

// build makes the network of the nodes that outputs need.
func (l *lowering) build() (*dag.Network, error) {
	needed := make([]bool, len(l.nodes))
	for _, p := range l.outputs {
		needed[p.Node] = true
	}
	for _, i := range l.roots {
		needed[i] = true
	}
	for i := len(l.nodes) - 1; i >= 0; i-- {
		if needed[i] {
			for _, j := range l.nodes[i].In {
				needed[j] = true
			}
		}
	}
	for _, p := range l.inputs {
		needed[p.Node] = true
	}
	l.settle(needed)
	var b dag.Builder
	inputs := map[int]string{}
	for _, p := range l.inputs {
		inputs[p.Node] = p.Name
	}
	id := make([]int, len(l.nodes))
	for i := range l.nodes {
		if !needed[i] {
			continue
		}
		nd := l.nodes[i]
		if name, ok := inputs[i]; ok {
			id[i] = b.Input(name, nd.Shape...)
		} else {
			nd.In = lists.Map(l.nodes[i].In, func(j int) int { return id[j] })
			id[i] = b.Node(nd)
		}
	}
	for _, p := range l.outputs {
		b.Output(p.Name, id[p.Node])
	}
	// An operator that is folded into the node before it takes that over: the last value
	// of a node is what the node gives.
	last := map[int]string{}
	for k := range l.graph.Nodes {
		for _, name := range l.graph.Nodes[k].Outputs {
			if v := l.values[name]; v != nil && !v.constant() && v.opaque == "" && v.node >= 0 && needed[v.node] {
				last[v.node] = name
			}
		}
	}
	l.named = make(map[string]int, len(last))
	for i, name := range last {
		l.named[name] = id[i]
	}
	return b.Build()
}

// classify says of every Param how an edit of it is written back.
func classify(net *dag.Network) {
	uses := map[*dag.Param][]*dag.Use{}
	for u := range net.Uses() {
		uses[u.Param] = append(uses[u.Param], u)
	}
	for p, all := range uses {
		if p.Storage == dag.Unwritable {
			continue
		}
		stored, _ := p.Ref.(*source.Tensor)
		if stored == nil || stored.Fixed {
			p.Storage = dag.NewInitializer
		}
		if p.Storage == dag.InPlace && len(all) == 1 && p.Len() > 1 {
			continue
		}
		// Uses may come to read different tensors: each must be an operand that
		// can be made to.
		for _, u := range all {
			if at, ok := u.Site.(*source.Site); !ok || at.Input < 0 {
				p.Storage = dag.Unwritable
				p.Reason = "a use of it is inside a local function or an operator that cannot be made to read another tensor"
			}
		}
	}
}
