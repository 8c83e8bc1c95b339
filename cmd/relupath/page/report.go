//go:build js

package main

import (
	"slices"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/cmd/relupath/internal/view"
	"github.com/relupath/relupath/onnxio"
)

// report is what the page shows of a model.
type report struct {
	Path        string   `json:"path"`
	Producer    string   `json:"producer"`
	IRVersion   int64    `json:"ir_version"`
	Opset       int64    `json:"opset"`
	Parameters  int      `json:"parameters"`
	HiddenUnits int      `json:"hidden_units"`
	Depth       int      `json:"depth"`
	Paths       string   `json:"paths"`
	Measures    []figure `json:"measures"`
	Layers      []layer  `json:"layers"`
	// Ports are the inputs and outputs, LeftOut the operators before and after what is measured.
	Ports   []port   `json:"ports"`
	LeftOut []string `json:"left_out"`
	// Apart says why the network has Segments with path norms of their own.
	Apart    string    `json:"apart"`
	Segments []segment `json:"segments"`
	// Warnings are what is to be known of the numbers.
	Warnings []string `json:"warnings"`
	// Whole says that no more measures follow. Then Units has the 2-norms of the incoming weights of
	// each layer's units, and Boxes is a drawing, unless there are too many layers.
	Whole bool       `json:"whole"`
	Units []units    `json:"units"`
	Boxes []view.Box `json:"boxes"`
}

type units struct {
	Layer string    `json:"layer"`
	Norms []float32 `json:"norms"`
}

// figure is a measure with its orders. Value is null where float64 has no such number, Log10 where
// it has no logarithm; Reason says why it is undefined.
type figure struct {
	Name   string   `json:"name"`
	Label  string   `json:"label"`
	Value  *float64 `json:"value"`
	Log10  *float64 `json:"log10"`
	Reason string   `json:"reason,omitempty"`
	// Invariant says that rescaling does not change it.
	Invariant bool `json:"invariant"`
	// Output says that it is of a single output.
	Output bool `json:"output,omitempty"`
}

type port struct {
	What  string `json:"what"`
	Name  string `json:"name"`
	Type  string `json:"type"`
	Shape []int  `json:"shape"`
}

type segment struct {
	Starts   []string `json:"starts"`
	Ends     []string `json:"ends"`
	Layers   []string `json:"layers"`
	Paths    string   `json:"paths"`
	Measures []figure `json:"measures"`
}

type layer struct {
	Name     string   `json:"name"`
	Op       string   `json:"op"`
	Inputs   int      `json:"inputs"`
	Outputs  int      `json:"outputs"`
	Measures []figure `json:"measures"`
}

// end adds what is drawn of a network to its last report.
func (r *report) end(n *dag.Network) {
	r.Whole, r.Units, r.Boxes = true, []units{}, view.Boxes(n)
	for _, l := range view.UnitNorms(n, 2, analysis.IncludeBias, 1) {
		u := units{l.Layer, []float32{}}
		for _, x := range l.Units {
			// JSON has no NaN, and a plot no place for it.
			if f := float32(x.Float64()); f-f == 0 {
				u.Norms = append(u.Norms, f)
			}
		}
		r.Units = append(r.Units, u)
	}
}

// newReport describes a model.
func newReport(path string, m *onnxio.Model, r *analysis.Report) *report {
	out := &report{
		Path: path, Producer: m.Producer, IRVersion: m.IRVersion, Opset: m.Opset,
		Parameters: r.Parameters, HiddenUnits: r.HiddenUnits, Depth: r.Depth,
		Measures: figures(r.Measures), Layers: []layer{},
		Ports: []port{}, LeftOut: append(append([]string{}, m.Preamble...), m.Head...), Apart: r.Apart, Segments: []segment{},
		Warnings: append(append([]string{}, m.Warnings...), r.Warnings...),
	}
	for i, p := range slices.Concat(m.Inputs, m.Outputs) {
		what := "input"
		if i >= len(m.Inputs) {
			what = "output"
		}
		out.Ports = append(out.Ports, port{what, p.Name, p.Type, append([]int{}, p.Shape...)})
	}
	if r.Paths != nil {
		out.Paths = r.Paths.String()
	}
	for i := range r.Segments {
		s := &r.Segments[i]
		out.Segments = append(out.Segments, segment{append([]string{}, s.Starts...), append([]string{}, s.Ends...), append([]string{}, s.Layers...), s.Paths.String(), figures(s.Measures)})
	}
	for i := range r.Layers {
		l := &r.Layers[i]
		out.Layers = append(out.Layers, layer{l.Name, l.Op, l.Inputs, l.Outputs, figures(l.Measures)})
	}
	return out
}

func figures(ms []analysis.Measure) []figure {
	out := []figure{}
	for i := range ms {
		m := &ms[i]
		if m.Name == "parameter_count" {
			continue // among the facts
		}
		f := figure{Name: m.Name, Label: m.Label(), Reason: m.Reason, Invariant: m.Invariant, Output: m.Output != ""}
		if m.Defined {
			f.Value, f.Log10 = numbers(m.Value)
		}
		out = append(out, f)
	}
	return out
}

// numbers returns x and its decimal logarithm as far as JSON has them.
func numbers(x scaled.Num) (value, log10 *float64) {
	if f := x.Float64(); f-f == 0 && (f != 0 || x.IsZero()) {
		value = &f
	}
	if x.IsFinite() && x.Frac > 0 {
		l := x.Log10()
		log10 = &l
	}
	return value, log10
}
