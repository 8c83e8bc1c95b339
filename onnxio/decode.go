package onnxio

import (
	"fmt"
	"sort"
	"strings"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/topology"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// newestOpset is the newest version of the standard operators whose changes are
// known to the lowerings.
const newestOpset = 28

// read turns an indexed file into a Model.
func read(f *wire.File, path string, opt Options) (m *Model, err error) {
	err = guard(f, path, func() error {
		m, err = decode(f, path, opt)
		return err
	})
	return m, err
}

func decode(f *wire.File, path string, opt Options) (*Model, error) {
	t, err := topology.Decode(f)
	if err != nil {
		return nil, &InvalidError{Path: path, Err: err}
	}
	order, unused := live(t)
	if k := unversioned(f); k >= 0 {
		n := &f.Graph.Nodes[k]
		return nil, &UnsupportedError{Path: path, Obstacles: []Obstacle{{
			Node: nodeLabel(n, k), Op: opLabel(n),
			Reason: fmt.Sprintf("the file (IR version %d) does not say which version of the operators it means", f.Model.IRVersion),
			Remedy: "export it again with IR version 3 or newer, which names an operator set",
		}}}
	}
	if err := checkForms(&f.Model, &f.Graph); err != nil {
		return nil, &InvalidError{Path: path, Err: err}
	}
	l := lowerGraph(f, order, opt)
	if len(l.obstacles) == 0 && len(l.outputs) == 0 && len(l.roots) == 0 {
		l.obstacle(Obstacle{
			Node: f.Graph.Outputs[0].Name, Op: "graph output",
			Reason: "no output of the model holds numbers that can be computed",
		})
	}
	m := &Model{file: f, path: path, Batchless: l.batchless, Mixed: l.mixed}
	m.describe(f, l)
	if len(l.obstacles) == 0 {
		if err := m.build(l); err != nil {
			return nil, err
		}
	}
	if len(l.obstacles) > 0 {
		sort.SliceStable(l.obstacles, func(i, j int) bool { return l.obstacles[i].at < l.obstacles[j].at })
		e := &UnsupportedError{Path: path, Examples: l.examples}
		for _, o := range l.obstacles {
			e.Obstacles = append(e.Obstacles, o.Obstacle)
		}
		return nil, e
	}
	classify(m.Net)
	m.Warnings = append(m.Warnings, remarks(f, unused)...)
	m.Warnings = append(m.Warnings, l.unevaluated()...)
	m.Warnings = append(m.Warnings, l.warnings...)
	return m, nil
}

// unversioned returns the first node of the standard operators in a file that
// imports no version of them, -1 for none. Runtimes refuse such files: each
// version gives some operators another meaning.
func unversioned(f *wire.File) int {
	for _, o := range f.Model.OpsetImports {
		if domain(o.Domain) == "" {
			return -1
		}
	}
	for k := range f.Graph.Nodes {
		if domain(f.Graph.Nodes[k].Domain) == "" {
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
		names := make([]string, 0, maxListed)
		for _, k := range unused[:min(len(unused), maxListed)] {
			n := &f.Graph.Nodes[k]
			names = append(names, fmt.Sprintf("%q (%s)", nodeLabel(n, k), opLabel(n)))
		}
		more := ""
		if len(unused) > maxListed {
			more = fmt.Sprintf(" and %d more", len(unused)-maxListed)
		}
		out = append(out, "no output needs "+strings.Join(names, ", ")+more)
	}
	return out
}

// build makes the network of the dag nodes that outputs need.
func (m *Model) build(l *lowering) error {
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
	m.tensors = l.tensors
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
			nd.In = make([]int, len(l.nodes[i].In))
			for k, j := range l.nodes[i].In {
				nd.In[k] = id[j]
			}
			id[i] = b.Node(nd)
		}
	}
	for _, p := range l.outputs {
		b.Output(p.Name, id[p.Node])
	}
	net, err := b.Build()
	if err != nil {
		return &InvalidError{Path: m.path, Err: err}
	}
	m.Net = net
	for i := range net.Nodes {
		nd := &net.Nodes[i]
		if _, ok := nd.Op.(dag.Input); ok {
			continue
		}
		switch nd.Zone {
		case dag.Preamble:
			m.Preamble = append(m.Preamble, shortLabel(nd))
		case dag.Head:
			m.Head = append(m.Head, shortLabel(nd))
		}
	}
	return nil
}

func shortLabel(nd *dag.Node) string {
	if nd.Name == "" {
		return nd.Source
	}
	return fmt.Sprintf("%s (%s)", nd.Name, nd.Source)
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
		stored, _ := p.Ref.(*storedTensor)
		if stored == nil || stored.fixed {
			p.Storage = dag.NewInitializer
		}
		if p.Storage == dag.InPlace && len(all) == 1 && p.Len() > 1 {
			continue
		}
		// Uses may come to read different tensors: each must be an operand that
		// can be made to.
		for _, u := range all {
			if at, ok := u.Site.(*site); !ok || at.input < 0 {
				p.Storage = dag.Unwritable
				p.Reason = "a use of it is inside a local function or an operator that cannot be made to read another tensor"
			}
		}
	}
}
