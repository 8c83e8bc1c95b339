package command

import (
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/onnxio"
)

type initOptions struct {
	widths []int
	dtype  string
	noBias bool
	output string
}

func (a *app) init() *cobra.Command {
	o := &initOptions{}
	cmd := &cobra.Command{
		Use:   "init --widths 784,4000,4000,10 -o OUT",
		Short: "Write a fresh multilayer perceptron with random weights",
		Long: `init writes a fully connected ReLU network with weights drawn from
N(0,1)/sqrt(fan-in) and biases 0, as an ONNX model.`,
		Example: `  relupath init --widths 784,300,100,10 -o fresh.onnx
  relupath init --widths 2,16,1 --no-bias --dtype float64 --seed 7 -o small.onnx`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), a) },
	}
	f := cmd.Flags()
	f.IntSliceVar(&o.widths, "widths", nil, "number of inputs, of the units of each layer, of outputs")
	f.StringVarP(&o.output, "output", "o", "", "the model to write; - is standard output")
	addChoice(cmd, &o.dtype, "dtype", "type of the stored weights", "float32", "float64")
	f.BoolVar(&o.noBias, "no-bias", false, "layers without biases")
	return cmd
}

// initJSON is the result of init, schema relupath.init/1.
type initJSON struct {
	Schema     string `json:"schema"`
	Output     string `json:"output"`
	Widths     []int  `json:"widths"`
	DType      string `json:"dtype"`
	Parameters int    `json:"parameters"`
	Seed       uint64 `json:"seed"`
}

// maxParameters keeps a model below what one ONNX file can hold: 2 GB.
const maxParameters = math.MaxInt32

func (o *initOptions) run(ctx context.Context, a *app) error {
	size := 8
	if o.dtype == dag.Float32.String() {
		size = 4
	}
	if o.output == "" {
		return usagef("init: give the model to write with -o")
	}
	if len(o.widths) < 2 {
		return usagef("--widths: want at least the inputs and the outputs, such as 784,100,10")
	}
	total := 0
	for i, w := range o.widths {
		if w < 1 || w > maxParameters {
			return usagef("--widths: %d is no number of units", w)
		}
		if i > 0 {
			total += o.widths[i-1]*w + w
		}
		if total > maxParameters/size {
			return usagef("--widths: more than %d parameters, which is more than one ONNX file of %s holds", maxParameters/size, o.dtype)
		}
	}
	if err := a.vacant(o.output); err != nil {
		return err
	}
	net, err := o.network(ctx, a.seed)
	if err != nil {
		return err
	}
	if err := a.save(o.output, func(w io.Writer) error { return onnxio.WriteNetwork(w, net) }); err != nil {
		return err
	}
	r := &initJSON{Schema: "relupath.init/1", Output: o.output, Widths: o.widths, DType: o.dtype, Seed: a.seed}
	for _, p := range net.Params() {
		r.Parameters += p.Len()
	}
	to := a.out
	if o.output == stdStream {
		to = a.err
	}
	return a.reportTo(to, initDocument(r))
}

// network draws the weights, layer by layer, each from a stream of its own, so
// that a change of one width leaves the layers before it as they were.
func (o *initOptions) network(ctx context.Context, seed uint64) (*dag.Network, error) {
	var b dag.Builder
	at := b.Input("input", o.widths[0])
	last := len(o.widths) - 1
	for k := 1; k <= last; k++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		name := fmt.Sprintf("fc%d", k)
		in, out := o.widths[k-1], o.widths[k]
		rng := rand.New(rand.NewPCG(seed, uint64(k)))
		w := o.param(name+".weight", []int{out, in}, func() float64 { return rng.NormFloat64() / math.Sqrt(float64(in)) })
		l := &dag.Linear{Map: &dag.Dense{W: dag.Use{Param: w}, Rows: out, Cols: in}}
		if !o.noBias {
			bias := o.param(name+".bias", []int{out}, func() float64 { return 0 })
			l.Stages = []dag.Stage{{Add: &dag.Vector{Use: dag.Use{Param: bias}, Coef: 1}}}
		}
		at = b.Node(dag.Node{Name: name, Source: "Gemm", In: []int{at}, Shape: []int{out}, Op: l})
		if k < last {
			at = b.Activation(fmt.Sprintf("relu%d", k), at, 0)
		}
	}
	b.Output("output", at)
	return b.Build()
}

func (o *initOptions) param(name string, shape []int, draw func() float64) *dag.Param {
	if o.dtype == dag.Float32.String() {
		v := make([]float32, dag.Size(shape))
		for i := range v {
			v[i] = float32(draw())
		}
		return dag.NewParam32(name, dag.Float32, shape, v)
	}
	v := make([]float64, dag.Size(shape))
	for i := range v {
		v[i] = draw()
	}
	return dag.NewParam64(name, shape, v)
}

func initDocument(r *initJSON) *render.Document {
	widths := make([]string, len(r.Widths))
	for i, w := range r.Widths {
		widths[i] = strconv.Itoa(w)
	}
	t := render.Table{Columns: []string{"", ""}}
	t.Add(render.Text("written"), render.Code(r.Output))
	t.Add(render.Text("widths"), render.Code(strings.Join(widths, "-")))
	t.Add(render.Text("parameters"), render.Text(fmt.Sprintf("%d %s", r.Parameters, r.DType)))
	t.Add(render.Text("seed"), render.Text(strconv.FormatUint(r.Seed, 10)))
	return &render.Document{Title: "relupath init", Label: "relupath-init", Data: r, Tables: []render.Table{t}}
}
