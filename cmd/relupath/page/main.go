//go:build js

// Command page is the program of the page for browsers: it runs in a Web Worker, reads the
// files that were dropped there and answers with their measures. See build.sh.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"syscall/js"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/onnxio"
)

func main() {
	js.Global().Set("relupath", js.FuncOf(func(_ js.Value, args []js.Value) any {
		path := args[0].String()
		// What reads files waits for the worker, which goes on when this returns.
		go answer(path)
		return nil
	}))
	post("ready", "")
	select {}
}

// post sends a message to the page.
func post(kind string, text string) {
	js.Global().Call("postMessage", map[string]any{"kind": kind, "text": text})
}

// answer measures a model, first what needs one pass over its layers.
func answer(path string) {
	defer func() {
		if r := recover(); r != nil {
			post("error", fmt.Sprintf("relupath failed on %s: %v: please report this", path, r))
		}
	}()
	post("stage", "reading")
	m, err := onnxio.Read(path, onnxio.Options{})
	if err != nil {
		post("error", err.Error())
		return
	}
	defer m.Close()
	for _, names := range [][]string{{"group_norm", "frobenius", "max_abs"}, {"fast"}} {
		r, err := analysis.Measures(context.Background(), m.Net, analysis.Options{
			Names: names, Progress: func(stage string, _, _ int) { post("stage", stage) },
		})
		if err != nil {
			post("error", err.Error())
			return
		}
		text, err := json.Marshal(figures(r))
		if err != nil {
			post("error", err.Error())
			return
		}
		post("measures", string(text))
	}
	post("done", "")
}

// figure is a measure with its orders.
type figure struct {
	Label string  `json:"label"`
	Value float64 `json:"value"`
}

func figures(r *analysis.Report) []figure {
	out := []figure{}
	for i := range r.Measures {
		m := &r.Measures[i]
		v := m.Value.Float64()
		if !m.Defined || v-v != 0 {
			continue // JSON has no such number
		}
		label := m.Name
		if args := strings.Trim(strings.Join([]string{m.P, m.Q, m.Output}, ","), ","); args != "" {
			label += "(" + args + ")"
		}
		out = append(out, figure{label, v})
	}
	return out
}
