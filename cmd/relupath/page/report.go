//go:build js

package main

import (
	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/scaled"
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
	// Warnings are what is to be known of the numbers.
	Warnings []string `json:"warnings"`
	// Whole says that no more measures follow.
	Whole bool `json:"whole"`
}

// figure is a measure with its orders. Value is null where float64 has no such number, Log10 where
// it has no logarithm; Reason says why it is undefined.
type figure struct {
	Name   string   `json:"name"`
	Label  string   `json:"label"`
	Value  *float64 `json:"value"`
	Log10  *float64 `json:"log10"`
	Reason string   `json:"reason,omitempty"`
	// Output says that it is of a single output.
	Output bool `json:"output,omitempty"`
}

type layer struct {
	Name     string   `json:"name"`
	Op       string   `json:"op"`
	Inputs   int      `json:"inputs"`
	Outputs  int      `json:"outputs"`
	Measures []figure `json:"measures"`
}

func newReport(path string, m *onnxio.Model, r *analysis.Report) *report {
	out := &report{
		Path: path, Producer: m.Producer, IRVersion: m.IRVersion, Opset: m.Opset,
		Parameters: r.Parameters, HiddenUnits: r.HiddenUnits, Depth: r.Depth,
		Measures: figures(r.Measures), Layers: []layer{},
		Warnings: append(append([]string{}, m.Warnings...), r.Warnings...),
	}
	if r.Paths != nil {
		out.Paths = r.Paths.String()
	}
	if r.Apart != "" {
		out.Warnings = append(out.Warnings, r.Apart)
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
		f := figure{Name: m.Name, Label: m.Label(), Reason: m.Reason, Output: m.Output != ""}
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
