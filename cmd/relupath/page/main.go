//go:build js

// Command page is the program of the page for browsers: it runs in a Web Worker, reads the
// files that were dropped there and answers with their measures. See build.sh.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"syscall/js"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/cmd/relupath/internal/view"
	"github.com/relupath/relupath/onnxio"
)

// memory is what the program tries to stay below, of the 4 GiB that WebAssembly can address.
const memory = 3 << 30

func main() {
	debug.SetMemoryLimit(memory)
	js.Global().Set("relupath", js.FuncOf(func(_ js.Value, paths []js.Value) any {
		// What reads files waits for the worker, which goes on when this returns.
		go func() {
			for _, path := range paths {
				answer(path.String())
			}
			post("done", nil)
		}()
		return nil
	}))
	terms := []term{}
	for _, i := range analysis.Registry() {
		math, _ := view.MathML(i.LaTeX)
		terms = append(terms, term{i, math})
	}
	post("ready", map[string]any{"terms": terms, "units": view.UnitsCaption, "drawing": view.DrawingCaption})
	select {}
}

// term is what the page explains of a measure, Math its formula in MathML.
type term struct {
	analysis.Info
	Math string
}

// post sends a message to the page.
func post(kind string, of any) {
	text, err := json.Marshal(of)
	if err != nil {
		panic(err) // of is made of this package's types
	}
	js.Global().Call("postMessage", map[string]any{"kind": kind, "of": string(text)})
}

// trouble says why there are no numbers of a model.
type trouble struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// passes are what is measured in turn: what needs only the layers, then all fast measures.
var passes = [][]string{{"parameter_count", "group_norm", "frobenius", "max_abs"}, {"fast"}}

// answer measures a model and posts each pass.
func answer(path string) {
	defer func() {
		if r := recover(); r != nil {
			post("trouble", trouble{path, fmt.Sprintf("relupath failed on this file, which is a mistake of the program: %v", r)})
		}
	}()
	progress("reading", 0, 0)
	m, err := onnxio.Read(path, onnxio.Options{})
	var open *onnxio.UnsupportedError
	if errors.As(err, &open) && open.Examples != nil {
		err = assumed(path, open.Examples)
	} else if err == nil {
		err = errors.Join(measured(path, m), m.Close())
	}
	if err != nil {
		post("trouble", trouble{path, reason(err)})
	}
}

func progress(stage string, done, all int) {
	post("stage", map[string]any{"stage": stage, "done": done, "all": all})
}

// measured posts the passes of a model.
func measured(path string, m *onnxio.Model) error {
	for k, names := range passes {
		r, err := analysis.Measures(context.Background(), m.Net, analysis.Options{Names: names, Progress: progress})
		if err != nil {
			return err
		}
		out := newReport(path, m, r)
		if k == len(passes)-1 {
			out.end(m.Net)
		}
		post("report", out)
	}
	return nil
}

// assumed posts the passes of a file that leaves shapes open: what does not depend on them, which
// is what is the same for two assumptions. One of the two is held at a time.
func assumed(path string, shapes []map[string][]int) error {
	const why = "the file leaves shapes of the inputs open"
	for k, names := range passes {
		opt := analysis.Options{Names: names, Progress: progress, Open: why}
		var out *report
		var r *analysis.Report
		for i, s := range shapes {
			other := r
			err := read(path, onnxio.Options{InputShape: s}, func(m *onnxio.Model) (err error) {
				if r, err = analysis.Measures(context.Background(), m.Net, opt); err != nil || i < len(shapes)-1 {
					return err
				}
				if other != nil {
					r.Agree(other, nil, why)
				}
				r.Warnings = append(r.Warnings, why+": what depends on them is not measured; relupath audit --input-shape gives them")
				if out = newReport(path, m, r); k == len(passes)-1 {
					out.end(m.Net)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		post("report", out)
	}
	return nil
}

// reason is an error without the file, which the page names beside it.
func reason(err error) string {
	var invalid *onnxio.InvalidError
	if errors.As(err, &invalid) {
		err = &onnxio.InvalidError{Err: invalid.Err}
	}
	return err.Error()
}

// read calls f with a model, and closes it.
func read(path string, in onnxio.Options, f func(*onnxio.Model) error) error {
	m, err := onnxio.Read(path, in)
	if err != nil {
		return err
	}
	return errors.Join(f(m), m.Close())
}
