// Package view has what pages show of a network beside its measures: norms of its units, a drawing,
// formulas. The pages of the command line and the page for browsers draw it.
package view

import (
	"fmt"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/scaled"
)

// Norms has the incoming norms of a layer's units.
type Norms struct {
	Layer string
	Units []scaled.Num
}

// UnitNorms returns the p-norm of the incoming weights of every unit, layer
// by layer, with the bias among them under IncludeBias.
func UnitNorms(n *dag.Network, p float64, bias analysis.Bias, threads int) []Norms {
	var out []Norms
	for _, i := range n.Layers() {
		l := n.Nodes[i].Op.(*dag.Linear)
		norms := paths.RowNorms(l, p, threads)
		if b := l.Bias(); b != nil && bias == analysis.IncludeBias {
			for k := range norms {
				norms[k] = scaled.Norm([]scaled.Num{norms[k], scaled.New(b[k])}, p)
			}
		}
		out = append(out, Norms{n.Nodes[i].Ref(), norms})
	}
	return out
}

// The words over the plots of units and over drawings.
const (
	UnitsCaption   = "How the 2-norms of the units' incoming weights are distributed in each layer; in a balanced network they are narrow and alike. Units with norm 0 are not shown on a logarithmic axis."
	DrawingCaption = "The layers as read. Blue boxes are positively homogeneous, orange ones functions, grey ones stand before or after; numbers are those of the segments, where there are several."
)

// Box is a node of a drawing.
type Box struct {
	// Label is the first line of the box, Detail the second, before the shape.
	Label  string `json:"label"`
	Detail string `json:"detail"`
	Shape  []int  `json:"shape"`
	Style  Style  `json:"style"`
	// In are the indices of the nodes that it takes values from, all smaller
	// than its own.
	In []int `json:"in"`
}

// Style is how a box looks.
type Style uint8

// The styles: of the homogeneous part, of what lies before or after it, and of functions.
const (
	Homogeneous Style = iota
	Outside
	Function
)

// MaxBoxes is the number of layers up to which a network is drawn.
const MaxBoxes = 400

// Boxes draws a network's layers; nil for one with too many.
func Boxes(n *dag.Network) []Box {
	if len(n.Nodes) > MaxBoxes {
		return nil
	}
	of := make([]int, len(n.Nodes))
	if segments := n.Segments(); len(segments) > 1 {
		for k, s := range segments {
			for _, i := range s.Nodes {
				of[i] = k + 1
			}
		}
	}
	out := make([]Box, len(n.Nodes))
	for i := range n.Nodes {
		nd := &n.Nodes[i]
		what, style := dag.Describe(nd), Homogeneous
		if nd.Zone != dag.Body {
			style = Outside
		}
		if _, ok := nd.Op.(*dag.Func); ok {
			what, style = nd.Source, Function
		}
		if of[i] > 0 {
			what = fmt.Sprintf("%d: %s", of[i], what)
		}
		out[i] = Box{Label: nd.Ref(), Detail: what, Shape: nd.Shape, Style: style, In: nd.In}
	}
	return out
}
