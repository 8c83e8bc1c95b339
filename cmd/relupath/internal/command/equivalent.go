package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/relupath/relupath/analysis/rescale"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
)

// codeBroken is the exit code of an equivalence test that could not be made;
// 1 says that the models are not equivalent.
const codeBroken = 4

type equivalentOptions struct {
	modelFlags
	permute   bool
	tolerance float64
	output    string
}

func (a *app) equivalent() *cobra.Command {
	o := &equivalentOptions{}
	cmd := &cobra.Command{
		Use:   "equivalent A B",
		Short: "Tell whether two models are rescaling equivalent, and by which factors",
		Long: `equivalent looks for one positive factor for each group of hidden units that
turns A into B. The exit code is 0 if there are such factors, 1 if not (another
architecture included), and 4 if the question could not be answered.`,
		Example: `  relupath equivalent mlp.onnx balanced.onnx
  relupath equivalent mlp.onnx balanced.onnx --permute --format json`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := o.run(cmd.Context(), a, args[0], args[1])
			if codeOf(err) == codeFailed && !isNotEquivalent(err) {
				return &exit{codeBroken, err}
			}
			return err
		},
	}
	o.add(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.permute, "permute", false, "also up to the order of hidden units")
	f.Float64Var(&o.tolerance, "tolerance", 0, "largest relative difference of a weight (default: 1e-10, 1e-5 or 1e-2 by the stored type)")
	f.StringVarP(&o.output, "output", "o", "", "write the result to a file")
	return cmd
}

// equivalentJSON is the result of equivalent, schema relupath.equivalent/1.
type equivalentJSON struct {
	Schema     string `json:"schema"`
	Equivalent bool   `json:"equivalent"`
	// Permuted says that units were looked for in any order; Permutation lists
	// the layers whose units come in another one in B.
	Permuted    bool         `json:"permuted"`
	Reason      string       `json:"reason,omitempty"`
	Factors     *factors     `json:"factors"`
	Residual    *residual    `json:"residual"`
	Tolerance   float64      `json:"tolerance"`
	Permutation []layerOrder `json:"permutation,omitempty"`
}

// layerOrder has, for each unit of A's layer, the unit of B that it is.
type layerOrder struct {
	Layer string `json:"layer"`
	Units []int  `json:"units"`
}

type residual struct {
	MaxRel *float64 `json:"max_rel"`
	Where  string   `json:"where"`
}

// errNotEquivalent says no; the report gives the reason.
var errNotEquivalent = &exit{code: codeFailed}

func isNotEquivalent(err error) bool { return errors.Is(err, errNotEquivalent) }

func (o *equivalentOptions) run(ctx context.Context, a *app, pathA, pathB string) error {
	ma, err := a.openFinite(ctx, pathA, &o.modelFlags, "compare")
	if err != nil {
		return err
	}
	defer ma.Close()
	mb, err := a.openFinite(ctx, pathB, &o.modelFlags, "compare")
	if err != nil {
		return err
	}
	defer mb.Close()
	opt := rescale.EquivalentOptions{Tolerance: o.tolerance}
	if o.permute {
		opt.Units = rescale.AnyOrder
	}
	e, err := rescale.Equivalent(ma.Net, mb.Net, opt)
	if err != nil {
		return err
	}
	r := newEquivalentJSON(o, e)
	if err := a.report(equivalentDocument(r), o.output); err != nil {
		return err
	}
	if !e.Equivalent {
		return errNotEquivalent
	}
	return nil
}

func newEquivalentJSON(o *equivalentOptions, e *rescale.Equivalence) *equivalentJSON {
	r := &equivalentJSON{Schema: "relupath.equivalent/1", Equivalent: e.Equivalent, Permuted: o.permute, Reason: e.Reason,
		Tolerance: e.Tolerance}
	if e.Factors != nil {
		f := factorsOf(e.Groups, e.Factors)
		r.Factors = &f
		r.Residual = &residual{MaxRel: render.Real(e.Residual), Where: e.Where}
	}
	for _, l := range e.Permutation {
		r.Permutation = append(r.Permutation, layerOrder{l.Name, l.Units})
	}
	return r
}

func equivalentDocument(r *equivalentJSON) *render.Document {
	t := render.Table{Columns: []string{"", ""}}
	t.Add(render.Text("equivalent"), render.YesNo(r.Equivalent))
	if r.Reason != "" {
		t.Add(render.Text("reason"), render.Text(r.Reason))
	}
	if r.Factors != nil {
		t.Add(render.Text("factors"), render.Text(fmt.Sprintf("%s to %s", short(r.Factors.Min), short(r.Factors.Max))))
	}
	if r.Residual != nil && r.Residual.Where != "" {
		t.Add(render.Text("residual"), render.Text(fmt.Sprintf("%s relative, at %s; tolerance %.3g", short(r.Residual.MaxRel), r.Residual.Where, r.Tolerance)))
	}
	return &render.Document{Title: "relupath equivalent", Label: "relupath-equivalent", Data: r, Tables: []render.Table{t}}
}

// orderText writes the first units of a permutation.
func orderText(units []int) string {
	const most = 16
	s := strings.Trim(fmt.Sprint(units[:min(len(units), most)]), "[]")
	if len(units) > most {
		s += fmt.Sprintf(" ... (%d units)", len(units))
	}
	return s
}
