package command

import (
	"context"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/finetune"
	"github.com/relupath/relupath/internal/lists"
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
	addModelFile(cmd, &o.output)
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
	if err := a.vacant(o.output, a.existing()); err != nil {
		return err
	}
	net, err := o.network(ctx, a.seed)
	if err != nil {
		return err
	}
	if err := a.save(o.output, a.existing(), func(w io.Writer) error { return writeNetwork(w, net) }); err != nil {
		return err
	}
	r := &initJSON{Schema: "relupath.init/1", Output: o.output, Widths: o.widths, DType: o.dtype, Seed: a.seed, Parameters: analysis.Parameters(net)}
	return a.reportBeside(o.output, initDocument(r))
}

// network draws the weights.
func (o *initOptions) network(ctx context.Context, seed uint64) (*dag.Network, error) {
	opt := finetune.FreshOptions{Type: dag.Float32, Seed: seed}
	if o.dtype == dag.Float64.String() {
		opt.Type = dag.Float64
	}
	if o.noBias {
		opt.Bias = finetune.BiasNone
	}
	return finetune.Fresh(ctx, o.widths, opt)
}

func initDocument(r *initJSON) *render.Document {
	widths := lists.Map(r.Widths, strconv.Itoa)
	t := render.Table{Columns: []string{"", ""}}
	t.Add(render.Text("written"), render.Code(r.Output))
	t.Add(render.Text("widths"), render.Code(strings.Join(widths, "-")))
	t.Add(render.Text("parameters"), render.Text(fmt.Sprintf("%d %s", r.Parameters, r.DType)))
	t.Add(render.Text("seed"), render.Text(strconv.FormatUint(r.Seed, 10)))
	return &render.Document{Title: "relupath init", Label: "relupath-init", Data: r, Tables: []render.Table{t}}
}
