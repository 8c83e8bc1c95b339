package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/internal/words"
)

type runOptions struct {
	modelFlags
	inputs []string
	output string
}

func (a *app) run() *cobra.Command {
	o := &runOptions{}
	cmd := &cobra.Command{
		Use:   "run MODEL --input [NAME=]X.npy -o Y.npy",
		Short: "Evaluate a model on inputs from NumPy files",
		Long: `run evaluates the whole model, preamble and head included, in float64, on a
batch of inputs (batch first). An input of one sample serves all samples of the
others. A model with several outputs writes one file an
output into the folder given with -o, which it makes.`,
		Example: `  relupath run mlp.onnx --input x.npy -o y.npy
  relupath run mlp.onnx --input x.npy -o - > y2.npy`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), a, args[0]) },
	}
	o.add(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&o.inputs, "input", nil, "values of an input: [NAME=]X.npy; - is standard input")
	f.StringVarP(&o.output, "output", "o", "", "the NumPy file to write, - for standard output; a folder for several outputs")
	return cmd
}

// runJSON is the result of run, schema relupath.run/1.
type runJSON struct {
	Schema  string      `json:"schema"`
	Model   string      `json:"model"`
	Batch   int         `json:"batch"`
	Outputs []runOutput `json:"outputs"`
}

type runOutput struct {
	Name  string   `json:"name"`
	Type  string   `json:"type"`
	Shape []int    `json:"shape"`
	File  string   `json:"file"`
	Min   *float64 `json:"min"`
	Max   *float64 `json:"max"`
}

func (o *runOptions) run(ctx context.Context, a *app, path string) error {
	if o.output == "" {
		return usagef("run: give the file to write with -o")
	}
	m, err := o.openFor(ctx, a, path)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.Guard(func() error { return o.work(ctx, a, m, path) })
}

// work evaluates the model and writes its outputs.
func (o *runOptions) work(ctx context.Context, a *app, m *modelFile, path string) error {
	if len(m.Net.Outputs) == 0 {
		return invalidf("%s: no output can be evaluated: %s", path, strings.Join(m.Warnings, "; "))
	}
	files, err := o.files(a, m.Net)
	if err != nil {
		return err
	}
	in, batch, err := a.readInputs(ctx, m.Net, o.inputs)
	if err != nil {
		return err
	}
	a.stage(path, "evaluating")
	ys, err := a.evaluate(ctx, m.Net, in, batch)
	if err != nil {
		return err
	}
	r := &runJSON{Schema: "relupath.run/1", Model: path, Batch: batch, Outputs: []runOutput{}}
	if len(files) > 1 {
		if err := os.Mkdir(o.output, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	for k, p := range m.Net.Outputs {
		nd := &m.Net.Nodes[p.Node]
		y := &array{shapeOf(m, nd, batch), ys[k]}
		if slices.Contains(m.Unbatched, p.Name) {
			y = &array{slices.Clone(nd.Shape), ys[k][:nd.Len()]}
		}
		typ := elementOf(m.Outputs, p.Name)
		if err := a.save(files[k], a.existing(), func(w io.Writer) error { return writeNPY(w, y, typ) }); err != nil {
			return err
		}
		lo, hi := extent(y.data)
		r.Outputs = append(r.Outputs, runOutput{p.Name, typ, y.shape, files[k], render.Real(lo), render.Real(hi)})
	}
	return a.reportBeside(o.output, runDocument(r))
}

// shapeOf returns the shape of an output for a batch: as the model gives it, so
// that one sample of a model without a batch has no axis of a batch.
func shapeOf(m *modelFile, nd *dag.Node, batch int) []int {
	if m.Batchless && batch == 1 {
		return slices.Clone(nd.Shape)
	}
	return append([]int{batch}, nd.Shape...)
}

// evaluate computes the outputs of a batch in parts, so that the values of all its samples
// stay few.
func (a *app) evaluate(ctx context.Context, n *dag.Network, in [][]float64, batch int) ([][]float64, error) {
	step := eval.Samples(n, nil, maxScored)
	if batch <= step {
		return eval.Run(ctx, n, in, batch, eval.Options{Threads: a.threads})
	}
	out := make([][]float64, len(n.Outputs))
	var buffers eval.Buffers
	for first := 0; first < batch; first += step {
		last := min(first+step, batch)
		part := make([][]float64, len(in))
		for k, x := range in {
			size := len(x) / batch
			part[k] = x[first*size : last*size]
		}
		ys, err := eval.Run(ctx, n, part, last-first, eval.Options{Threads: a.threads, Buffers: &buffers})
		if err != nil {
			return nil, err
		}
		for k, y := range ys {
			out[k] = append(out[k], y...)
		}
		buffers.Give(ys)
		a.step(last, batch)
	}
	return out, nil
}

// unsafeName matches what an output's name may not keep in a file's name.
var unsafeName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`[^A-Za-z0-9._-]`) })

// files returns the file of each output, after checking that all may be
// written.
func (o *runOptions) files(a *app, n *dag.Network) ([]string, error) {
	info, err := os.Stat(o.output)
	folder := err == nil && info.IsDir()
	if len(n.Outputs) == 1 && !folder {
		return []string{o.output}, a.vacant(o.output, a.existing())
	}
	if err == nil && !folder || o.output == stdStream {
		return nil, usagef("the model has %s: give a folder with -o, %s is none", words.Count(len(n.Outputs), "output"), o.output)
	}
	if !folder {
		// It is made when there is something to write.
		if err := a.vacant(filepath.Clean(o.output), a.existing()); err != nil {
			return nil, err
		}
	}
	var out []string
	used := map[string]string{}
	for _, p := range n.Outputs {
		file := filepath.Join(o.output, unsafeName().ReplaceAllString(p.Name, "_")+".npy")
		if other, ok := used[file]; ok {
			return nil, fmt.Errorf("outputs %q and %q would both be written to %s", other, p.Name, file)
		}
		used[file] = p.Name
		if folder {
			if err := a.vacant(file, a.existing()); err != nil {
				return nil, err
			}
		}
		out = append(out, file)
	}
	return out, nil
}

// elementOf returns the type in which an output is written: the model's own
// where it is float32 or int64, else float64.
func elementOf(ports []portInfo, name string) string {
	for _, p := range ports {
		if p.Name == name && (p.Type == "float32" || p.Type == "int64") {
			return p.Type
		}
	}
	return "float64"
}

// extent returns the smallest and the largest value; NaN for none or NaN.
func extent(v []float64) (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, x := range v {
		lo, hi = min(lo, x), max(hi, x)
	}
	return lo, hi
}

func runDocument(r *runJSON) *render.Document {
	t := render.Table{Columns: []string{"output", "type", "shape", "min", "max", "file"}}
	for _, y := range r.Outputs {
		t.Add(render.Code(y.Name), render.Code(y.Type), render.Code(render.Dims(y.Shape)),
			optional(y.Min), optional(y.Max), render.Code(y.File))
	}
	return &render.Document{Title: "relupath run", Label: "relupath-run", Data: r, Tables: []render.Table{t}, Records: &t, Subject: subject([]string{r.Model})}
}
