package command

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/rescale"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
)

// codeBroken is the exit code of an equivalence test that could not be made;
// 1 says that the models are not equivalent.
const codeBroken = 4

type equivalentOptions struct {
	modelFlags
	permute   bool
	tolerance float64
	output    string
	// whole says that tables which shapes cut were read as a whole once.
	whole bool
}

func (a *app) equivalent() *cobra.Command {
	o := &equivalentOptions{}
	cmd := &cobra.Command{
		Use:   "equivalent A B",
		Short: "Tell whether two models are rescaling equivalent, and by which factors",
		Long: `equivalent looks for one positive factor for each group of hidden units that
turns A into B. With --permute the units of each layer may come in another order.
The models may have other forms, as two exporters write them: BatchNormalization
folded or not, another order of operands, global pooling or a mean, and so on.
The exit code is 0 if there are such factors, 1 if there are certainly none (the
weights of one form or the functions differ), and 4 if the question could not be
answered, as of forms that cannot be compared though the functions agree.`,
		Example: `  relupath equivalent mlp.onnx balanced.onnx
  relupath equivalent mlp.onnx balanced.onnx --permute --format json`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			err := o.run(cmd.Context(), a, args[0], args[1])
			if codeOf(err) == codeFailed && !errors.Is(err, errNotEquivalent) {
				return &exit{codeBroken, err}
			}
			return err
		},
	}
	o.add(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.permute, "permute", false, "also up to the order of hidden units")
	f.Float64Var(&o.tolerance, "tolerance", 0, "largest relative difference of a weight (default: 1e-10, 1e-5 or 1e-2 by the stored type)")
	addReportFile(cmd, &o.output)
	return cmd
}

// equivalentJSON is the result of equivalent, schema relupath.equivalent/1.
type equivalentJSON struct {
	Schema string `json:"schema"`
	// Equivalent is null where neither answer is certain.
	Equivalent *bool `json:"equivalent"`
	// Permuted says that other orders of the units were looked for, Permutation
	// which layers have one.
	Permuted bool   `json:"permuted"`
	Reason   string `json:"reason,omitempty"`
	// Factors and Residual are null where the forms cannot be compared.
	Factors     *equivalentFactors `json:"factors"`
	Permutation []layerOrder       `json:"permutation,omitempty"`
	Residual    *residual          `json:"residual"`
	Tolerance   float64            `json:"tolerance"`
}

// equivalentFactors are the factors that turn A into B.
type equivalentFactors struct {
	factors
	Layers []layerFactors `json:"layers"`
}

// layerFactors has a layer's factors, unit by unit; null for pinned units and for
// units that B, in another form, does not have. Layers of such units alone are
// left out.
type layerFactors struct {
	Layer string     `json:"layer"`
	Units []*float64 `json:"units"`
}

// layerOrder says which unit of B each unit of A corresponds to.
type layerOrder struct {
	Layer string `json:"layer"`
	Units []int  `json:"units"`
}

type residual struct {
	MaxRel *float64 `json:"max_rel"`
	Where  string   `json:"where"`
}

func newEquivalentJSON(o *equivalentOptions, a *dag.Network, e *rescale.Equivalence) *equivalentJSON {
	r := &equivalentJSON{Schema: "relupath.equivalent/1", Permuted: o.permute, Reason: e.Reason, Tolerance: e.Tolerance}
	if !e.Undecided {
		r.Equivalent = &e.Equivalent
	}
	for _, p := range e.Permutation {
		r.Permutation = append(r.Permutation, layerOrder{a.Nodes[p.Node].Ref(), p.Units})
	}
	if e.Factors == nil {
		return r
	}
	f := &equivalentFactors{factors: factorsOf(e.Groups, e.Factors), Layers: []layerFactors{}}
	for _, i := range a.Layers() {
		l := layerFactors{Layer: a.Nodes[i].Ref()}
		free := false
		for _, id := range e.Groups.Rows[i] {
			var c *float64
			if id != dag.NoGroup && e.Groups.Pin[id] == "" && !math.IsNaN(e.Factors[id]) {
				c, free = render.Real(e.Factors[id]), true
			}
			l.Units = append(l.Units, c)
		}
		if free {
			f.Layers = append(f.Layers, l)
		}
	}
	r.Factors = f
	r.Residual = &residual{render.Real(e.Residual), e.Where}
	return r
}

// errNotEquivalent says no; the report gives the reason.
var errNotEquivalent = &exit{code: codeFailed}

func (o *equivalentOptions) run(ctx context.Context, a *app, pathA, pathB string) error {
	opt := rescale.EquivalentOptions{Tolerance: o.tolerance, Threads: a.threads}
	if o.permute {
		opt.Units = rescale.AnyOrder
	}
	var e *rescale.Equivalence
	var r *equivalentJSON
	var read [2]int // weights of both models
	compare := func(of [2]*modelFlags) error {
		return a.withFinite(ctx, pathA, of[0], "compare", func(ma *modelFile) error {
			return a.withFinite(ctx, pathB, of[1], "compare", func(mb *modelFile) error {
				if err := a.misnamed(&o.modelFlags); err != nil {
					return err
				}
				a.stage(pathA, "comparing with "+filepath.Base(pathB))
				found, err := rescale.Equivalent(ctx, ma.Net, mb.Net, opt)
				if err != nil {
					return err
				}
				now := [2]int{analysis.Parameters(ma.Net), analysis.Parameters(mb.Net)}
				if e != nil && found.Equivalent && now != read && !o.whole {
					found.Equivalent, found.Undecided = false, true
					found.Reason = "how many weights are read depends on the shape, which the files leave open: give it with --input-shape"
				}
				if read = now; e == nil || !found.Equivalent {
					e, r = found, newEquivalentJSON(o, ma.Net, found)
				}
				return nil
			})
		})
	}
	o.several = true // the other model may have other names
	err := compare([2]*modelFlags{&o.modelFlags, &o.modelFlags})
	if assumable(err) != nil {
		var readings [][2]*modelFlags
		if readings, err = o.readings(ctx, a, pathA, pathB, err); err != nil {
			return err
		}
		for _, of := range readings {
			if e == nil || e.Equivalent {
				if pathA == stdStream || pathB == stdStream {
					a.rewind()
				}
				err = errors.Join(err, compare(of))
			}
		}
	}
	if err != nil {
		return err
	}
	if err := a.report(equivalentDocument(r, pathA, pathB), o.output, a.existing()); err != nil {
		return err
	}
	switch {
	case e.Undecided:
		return &exit{codeBroken, errors.New(e.Reason)}
	case !e.Equivalent:
		return errNotEquivalent
	}
	return nil
}

func equivalentDocument(r *equivalentJSON, paths ...string) *render.Document {
	t := render.Table{Title: "rescaling equivalence", Columns: []string{"", ""}}
	answer, lead := render.Text("not decided"), "It is not decided whether these are one network up to rescaling."
	if r.Equivalent != nil {
		answer, lead = render.YesNo(*r.Equivalent), "These are not one network up to rescaling."
		if *r.Equivalent {
			lead = "These are one network up to rescaling."
		}
	}
	t.Add(render.Text("equivalent"), answer)
	if r.Reason != "" {
		t.Add(render.Text("reason"), render.Text(r.Reason))
	}
	d := &render.Document{
		Title: "relupath equivalent", Label: "relupath-equivalent", Data: r,
		Subject: subject(paths), Lead: lead,
	}
	if r.Residual != nil {
		where := ""
		if r.Residual.Where != "" {
			where = ", at " + r.Residual.Where
		}
		t.Add(render.Text("residual"), render.Text(fmt.Sprintf("%s relative%s; tolerance %.3g", short(r.Residual.MaxRel), where, r.Tolerance)))
		t.Add(render.Text("factors"), render.Text(fmt.Sprintf("%s, %d pinned, %s to %s",
			words.Count(r.Factors.Groups, "group"), r.Factors.Pinned, short(r.Factors.Min), short(r.Factors.Max))))
	}
	if len(r.Permutation) > 0 {
		names := lists.Map(r.Permutation, func(o layerOrder) string { return o.Layer })
		t.Add(render.Text("another order in"), render.Text(strings.Join(names, ", ")))
	}
	d.Tables = []render.Table{t}
	d.Records = equivalentRecords(r)
	return d
}

// equivalentRecords is the tidy table: one unit a row, or the answer alone.
func equivalentRecords(r *equivalentJSON) *render.Table {
	t := &render.Table{Columns: []string{"equivalent", "layer", "unit", "factor", "unit_of_b"}}
	var answer render.Cell
	if r.Equivalent != nil {
		answer = truth(*r.Equivalent)
	}
	if r.Factors == nil {
		t.Add(answer)
		return t
	}
	orders := map[string][]int{}
	for _, o := range r.Permutation {
		orders[o.Layer] = o.Units
	}
	for _, l := range r.Factors.Layers {
		for i, c := range l.Units {
			to := i
			if o := orders[l.Layer]; o != nil {
				to = o[i]
			}
			t.Add(answer, render.Text(l.Layer), render.Int(i), optional(c), render.Int(to))
		}
	}
	return t
}
