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
	post("ready", analysis.Registry())
	select {}
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

// answer measures a model: first what needs only its layers, then all fast measures.
func answer(path string) {
	defer func() {
		if r := recover(); r != nil {
			post("trouble", trouble{path, fmt.Sprintf("relupath failed on this file, which is a mistake of the program: %v", r)})
		}
	}()
	for _, names := range [][]string{{"parameter_count", "group_norm", "frobenius", "max_abs"}, {"fast"}} {
		r, err := measure(path, names)
		if err != nil {
			post("trouble", trouble{path, reason(err)})
			return
		}
		r.Whole = names[0] == "fast"
		post("report", r)
	}
}

// reason is an error without the file, which the page names beside it.
func reason(err error) string {
	var invalid *onnxio.InvalidError
	if errors.As(err, &invalid) {
		err = &onnxio.InvalidError{Err: invalid.Err}
	}
	return err.Error()
}

// measure reads a model and measures it. Where the file leaves shapes open it measures what does
// not depend on them: what is the same for two assumptions.
func measure(path string, names []string) (*report, error) {
	opt := analysis.Options{Names: names, Progress: func(stage string, done, all int) {
		post("stage", map[string]any{"stage": stage, "done": done, "all": all})
	}}
	opt.Progress("reading", 0, 0)
	m, r, err := read(path, onnxio.Options{}, opt)
	var open *onnxio.UnsupportedError
	if errors.As(err, &open) && open.Examples != nil {
		opt.Open = "the file leaves shapes of the inputs open"
		for _, shapes := range open.Examples {
			other := r
			if m, r, err = read(path, onnxio.Options{InputShape: shapes}, opt); err != nil {
				return nil, err
			}
			if other != nil {
				r.Agree(other, opt.Open)
			}
		}
		r.Warnings = append(r.Warnings, opt.Open+": what depends on them is not measured; relupath audit --input-shape gives them")
	}
	if err != nil {
		return nil, err
	}
	return newReport(path, m, r), nil
}

func read(path string, in onnxio.Options, opt analysis.Options) (*onnxio.Model, *analysis.Report, error) {
	m, err := onnxio.Read(path, in)
	if err != nil {
		return nil, nil, err
	}
	r, err := analysis.Measures(context.Background(), m.Net, opt)
	return m, r, errors.Join(err, m.Close())
}
