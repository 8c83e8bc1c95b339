package command

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/cmd/relupath/internal/view"
	"github.com/relupath/relupath/internal/words"
)

type inspectOptions struct {
	modelFlags
	plots  string
	output string
}

func (a *app) inspect() *cobra.Command {
	o := &inspectOptions{}
	cmd := &cobra.Command{
		Use:   "inspect MODEL",
		Short: "Show the layers as read: units, tied groups, what is pinned and why",
		Long: `inspect shows a model as relupath reads it: its layers, the functions between
them and the segments that these make, the preamble before and the head after
them; which units are tied to one factor under rescaling, and which are pinned to
1 and why; and which stored tensors of two or more axes belong to no layer, and
why. JSON lists all tensors with their layers.`,
		Example: `  relupath inspect mlp.onnx
  relupath inspect mlp.onnx --format json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), a, args[0]) },
	}
	o.add(cmd)
	addReportFile(cmd, &o.output)
	cmd.Flags().StringVar(&o.plots, "plots", "", "a folder for a drawing of the network as SVG, PNG and PDF files")
	return cmd
}

// inspectJSON is the result of inspect, schema relupath.inspect/1.
type inspectJSON struct {
	Schema string `json:"schema"`
	origin
	Inputs     []port              `json:"inputs"`
	Outputs    []port              `json:"outputs"`
	Parameters int                 `json:"parameters"`
	DTypes     []string            `json:"dtypes"`
	Scope      scope               `json:"scope"`
	Nodes      []inspectedNode     `json:"nodes"`
	Segments   []inspectedSegment  `json:"segments"`
	Functions  []inspectedFunction `json:"functions"`
	Tensors    []inspectedTensor   `json:"tensors"`
	Groups     inspectedGroups     `json:"groups"`
	Coverage   coverage            `json:"coverage"`
	Unwritable []unwritable        `json:"unwritable"`
	Warnings   []string            `json:"warnings"`
}

type port struct {
	Name  string `json:"name"`
	Type  string `json:"type"`
	Shape []int  `json:"shape"`
}

type inspectedNode struct {
	ID     int    `json:"id"`
	Name   string `json:"name"`
	Op     string `json:"op"`
	Source string `json:"source"`
	In     []int  `json:"in"`
	Shape  []int  `json:"shape"`
	Zone   string `json:"zone"`
	// Units counts the rows of a linear layer, Tied those that share their
	// factor with another unit, Pinned those whose factor must be 1.
	Units  int `json:"units"`
	Tied   int `json:"tied"`
	Pinned int `json:"pinned"`
}

type inspectedGroups struct {
	Count  int      `json:"count"`
	Free   int      `json:"free"`
	Tied   int      `json:"tied"`
	Pinned []pinned `json:"pinned"`
}

type pinned struct {
	Reason string `json:"reason"`
	Groups int    `json:"groups"`
	Units  int    `json:"units"`
	// Layers names the layers whose units these are.
	Layers []string `json:"layers"`
}

// coverage says how much of the network a rescaling reaches: in how many of its layers
// with weights some row has a free factor, and in how many some column takes one. A
// BatchNormalization counts with the layer before it; Scales of the layers only
// multiply each unit, as normalizers' do, and are left out of the columns.
type coverage struct {
	Layers      int     `json:"layers"`
	Scales      int     `json:"scales"`
	Rows        int     `json:"rows"`
	Columns     int     `json:"columns"`
	RowShare    float64 `json:"row_share"`
	ColumnShare float64 `json:"column_share"`
}

func coverageOf(n *dag.Network, g *dag.Groups) coverage {
	var c coverage
	free := func(id int32) bool { return id != dag.NoGroup && g.Pin[id] == "" }
	for i := range n.Nodes {
		l, ok := n.Nodes[i].Op.(*dag.Linear)
		if !ok || l.Map == nil || !l.Free() || n.Nodes[i].Zone == dag.Preamble {
			continue
		}
		c.Layers++
		if slices.ContainsFunc(g.Rows[i], free) {
			c.Rows++
		}
		if _, ok := l.Map.(*dag.Diagonal); ok {
			c.Scales++
		} else if slices.ContainsFunc(g.Cols[i], free) {
			c.Columns++
		}
	}
	c.RowShare = float64(c.Rows) / float64(max(c.Layers, 1))
	c.ColumnShare = float64(c.Columns) / float64(max(c.Layers-c.Scales, 1))
	return c
}

// unwritable is a tensor that the file cannot take back; one that is an
// attribute has no name.
type unwritable struct {
	Layer  string `json:"layer"`
	Tensor string `json:"tensor"`
	Reason string `json:"reason"`
}

func (o *inspectOptions) run(ctx context.Context, a *app, path string) error {
	var d *render.Document
	var warnings []string
	m, err := a.open(ctx, path, &o.modelFlags)
	if shapes := assumable(err); shapes != nil {
		m, err = a.again(ctx, path, &o.modelFlags, readOptions{InputShape: shapes[0]})
		warnings = append(warnings, "shown with an assumed shape: "+openReason(shapes[0]))
	}
	if err != nil {
		return err
	}
	defer m.Close()
	a.stage(path, "finding groups of units")
	if err := m.Guard(func() error {
		r := inspected(path, m)
		r.Warnings = append(r.Warnings, warnings...)
		if bad := notFinite(m.Net, a.threads); bad != nil {
			r.Warnings = append(r.Warnings, "NaN or infinite values in "+strings.Join(bad, ", "))
		}
		d = inspectDocument(r)
		if a.format == string(render.HTML) {
			d.Tables[0].Title, d.Tables[1].Title = "", "nodes" // the path is the page's
		}
		if diagram := diagramOf(m.Net); diagram != nil {
			d.Figures = []render.Figure{{
				Name: "network", Title: "Network", First: true,
				Caption: view.DrawingCaption, Chart: diagram,
			}}
		}
		return nil
	}); err != nil {
		return err
	}
	return errors.Join(a.report(d, o.output, a.existing()), a.plots(d, o.plots, a.existing()))
}

func inspected(path string, m *modelFile) *inspectJSON {
	n := m.Net
	r := &inspectJSON{
		Schema: "relupath.inspect/1", origin: newOrigin(path, m),
		Inputs: ports(m.Inputs), Outputs: ports(m.Outputs),
		Parameters: analysis.Parameters(n), DTypes: []string{}, Scope: scope{filled(m.Preamble), filled(m.Head)},
		Nodes: make([]inspectedNode, 0, len(n.Nodes)), Unwritable: []unwritable{}, Warnings: filled(slices.Clone(m.Warnings)),
	}
	for _, p := range n.Params() {
		if t := p.Type.String(); !slices.Contains(r.DTypes, t) {
			r.DTypes = append(r.DTypes, t)
		}
	}
	told := map[unwritable]bool{}
	for i := range n.Nodes {
		for _, u := range n.Nodes[i].Uses() {
			if u.Param.Storage != dag.Unwritable {
				continue
			}
			if t := (unwritable{n.Nodes[i].Ref(), u.Param.Name, u.Param.Reason}); !told[t] {
				told[t] = true
				r.Unwritable = append(r.Unwritable, t)
			}
		}
	}
	g := n.Groups()
	for i := range n.Nodes {
		nd := &n.Nodes[i]
		v := inspectedNode{
			ID: i, Name: nd.Ref(), Op: dag.Describe(nd), Source: nd.Source,
			In: append([]int{}, nd.In...), Shape: append([]int{}, nd.Shape...), Zone: nd.Zone.String(),
		}
		rows := g.Rows[i]
		if l, ok := nd.Op.(*dag.Linear); !ok || !l.Free() {
			rows = nil
		}
		for _, id := range rows {
			v.Units++
			if id == dag.NoGroup {
				continue
			}
			if g.Size[id] > 1 {
				v.Tied++
			}
			if g.Pin[id] != "" {
				v.Pinned++
			}
		}
		r.Nodes = append(r.Nodes, v)
	}
	r.Groups, r.Coverage = countGroups(g), coverageOf(n, g)
	r.Groups.name(n, g)
	r.parts(m)
	return r
}

func ports(ps []portInfo) []port {
	out := make([]port, len(ps))
	for i, p := range ps {
		out[i] = port{p.Name, p.Type, append([]int{}, p.Shape...)}
	}
	return out
}

// addPorts adds what goes into a model and what comes out, with types and shapes.
func addPorts(facts *render.Table, in, out []port) {
	for i, p := range slices.Concat(in, out) {
		what := "input"
		if i >= len(in) {
			what = "output"
		}
		facts.Add(render.Text(what), render.Text(fmt.Sprintf("%s %s %s", p.Name, p.Type, render.Dims(p.Shape))))
	}
}

// countGroups counts groups by the reason for which they are pinned, in
// order of appearance; one without units, as that of the inputs mostly, does not
// count, and two with inverse factors are one.
func countGroups(g *dag.Groups) inspectedGroups {
	r := inspectedGroups{Pinned: []pinned{}}
	at := map[string]int{}
	for id, size := range g.Size {
		if size == 0 || g.Follows(id) {
			continue
		}
		if of := g.Inverse[id]; of >= 0 {
			size += g.Size[of]
		}
		r.Count++
		if size > 1 {
			r.Tied++
		}
		why := g.Pin[id]
		if why == "" {
			r.Free++
			continue
		}
		if _, ok := at[why]; !ok {
			at[why] = len(r.Pinned)
			r.Pinned = append(r.Pinned, pinned{Reason: why, Layers: []string{}})
		}
		r.Pinned[at[why]].Groups++
		r.Pinned[at[why]].Units += size
	}
	return r
}

// name names the layers whose units are pinned. There may be as many reasons as outputs.
func (r *inspectedGroups) name(n *dag.Network, g *dag.Groups) {
	at, last := map[string]int{}, make([]int, len(r.Pinned))
	for k, p := range r.Pinned {
		at[p.Reason], last[k] = k, -1
	}
	for i := range n.Nodes {
		if l, ok := n.Nodes[i].Op.(*dag.Linear); !ok || !l.Free() {
			continue
		}
		for _, id := range g.Rows[i] {
			if id == dag.NoGroup {
				continue
			}
			if k, ok := at[g.Pin[id]]; ok && last[k] < i {
				last[k] = i
				r.Pinned[k].Layers = append(r.Pinned[k].Layers, n.Nodes[i].Ref())
			}
		}
	}
}

func inspectDocument(r *inspectJSON) *render.Document {
	d := &render.Document{Title: "relupath inspect", Label: "relupath-inspect", Data: r}
	facts := render.Table{Title: r.Path, Columns: []string{"", ""}}
	facts.Add(render.Text("producer"), render.Text(r.origin.String()))
	addPorts(&facts, r.Inputs, r.Outputs)
	facts.Add(render.Text("parameters"), render.Text(fmt.Sprintf("%s %s", grouped(r.Parameters), strings.Join(r.DTypes, ", "))))
	facts.Add(render.Text("groups"), render.Text(fmt.Sprintf("%d, %d of several tied units, %d free", r.Groups.Count, r.Groups.Tied, r.Groups.Free)))
	facts.Add(render.Text("layers"), render.Text(fmt.Sprintf("%d, %d with free rows, %d with columns that take a factor", r.Coverage.Layers, r.Coverage.Rows, r.Coverage.Columns)))
	facts.Add(render.Text("parts"), render.Text(r.parted()))
	records := inspectNodes(r, math.MaxInt)
	shown := records
	if slices.ContainsFunc(r.Nodes, func(n inspectedNode) bool { return len(n.In) > shownInputs }) {
		shown = inspectNodes(r, shownInputs)
	}
	d.Tables = append(d.Tables, facts, shown)
	d.Tables = append(d.Tables, r.partTables()...)
	d.Records = &records
	if len(r.Groups.Pinned) > 0 {
		t := render.Table{Title: "pinned to factor 1", Columns: []string{"groups", "units", "layers", "why"}}
		for _, p := range r.Groups.Pinned {
			t.Add(render.Int(p.Groups), render.Int(p.Units), render.Text(words.Some(p.Layers, shownLayers)), render.Text(p.Reason))
		}
		d.Tables = append(d.Tables, t)
	}
	if len(r.Unwritable) > 0 {
		t := render.Table{Title: "tensors that cannot be rewritten", Columns: []string{"layer", "tensor", "why"}}
		for _, u := range r.Unwritable {
			t.Add(render.Code(u.Layer), render.Code(u.Tensor), render.Text(u.Reason))
		}
		d.Tables = append(d.Tables, t)
	}
	d.Notes, d.Subject = r.Warnings, shortNames([]string{r.Path})[0]
	d.Lead = fmt.Sprintf("%s parameters in %s; units can be rescaled in %d of them, by %d free factors.",
		grouped(r.Parameters), words.Count(r.Coverage.Layers, "layer"), r.Coverage.Rows, r.Groups.Free)
	return d
}

// shownInputs is how many inputs of a node a table lists: its columns are as wide
// as their widest cell.
const shownInputs = 16

// shownLayers is how many layers a pin's row lists.
const shownLayers = 3

// inspectNodes tables the nodes, of each at most so many inputs.
func inspectNodes(r *inspectJSON, inputs int) render.Table {
	t := render.Table{Columns: []string{"id", "name", "op", "source", "in", "shape", "zone", "units", "tied", "pinned"}}
	t.Rows = slices.Grow(t.Rows, len(r.Nodes))
	for _, n := range r.Nodes {
		count := func(k int) render.Cell {
			if n.Units == 0 {
				return render.Cell{}
			}
			return render.Int(k)
		}
		in := strings.Trim(fmt.Sprint(n.In[:min(len(n.In), inputs)]), "[]")
		if more := len(n.In) - inputs; more > 0 {
			in += fmt.Sprintf(" and %d more", more)
		}
		t.Add(render.Int(n.ID), render.Code(n.Name), render.Code(n.Op), render.Code(n.Source), render.Code(in),
			render.Code(render.Dims(n.Shape)), render.Code(n.Zone), count(n.Units), count(n.Tied), count(n.Pinned))
	}
	return t
}
