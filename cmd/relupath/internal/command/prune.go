package command

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/prune"
	"github.com/relupath/relupath/cmd/relupath/internal/proof"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/internal/words"
)

type pruneOptions struct {
	modelFlags
	sparsity  float64
	by, scope string
	data      evalOptions
	samples   sampleFlags
	report    string
	output    string
	// removeDead takes dead units out of the file.
	removeDead bool
}

func (a *app) prune() *cobra.Command {
	o := &pruneOptions{}
	cmd := &cobra.Command{
		Use:   "prune MODEL --sparsity S -o OUT",
		Short: "Set the weights of the smallest score to zero",
		Long: `prune sets weights of fully connected layers and convolutions to zero, those of the
smallest score, until the given share of them is zero. Biases, normalisers and
everything else in the file stay.

The score by path is |w| d||pi||_1/d|w|, the sum over the paths through w of the
product of their weights. Rescaling does not change it: equivalent networks lose the
same weights. The score by magnitude is |w|, with BatchNormalization folded in.

The report has the path norm before and after, whose difference bounds what pruning
changes: the values that the network ends in differ by at most max(1, max |x_i|) times
as much in sum, for a network that is homogeneous as a whole. With --data it has loss
and error before and after. finetune --keep-zeros trains what is left.

--remove-dead takes units out of the file that no input reaches or that reach no
output by weights that are not zero: the function stays as it is, biases take what
is constant. Units that skip connections tie go together or not at all. What stays
is reported with the reason. Without --sparsity nothing else becomes zero.`,
		Example: `  relupath prune mlp.onnx --sparsity 0.8 -o sparse.onnx
  relupath prune iris.onnx --sparsity 0.5 --by magnitude --scope layer --data csv:iris.csv,header -o small.onnx
  relupath prune mlp.onnx --sparsity 0.95 --remove-dead -o smaller.onnx`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !cmd.Flags().Changed("sparsity") && !o.removeDead {
				return usagef("prune: give the share of zeros with --sparsity")
			}
			return o.run(cmd.Context(), a, args[0])
		},
	}
	o.add(cmd)
	f := cmd.Flags()
	addModelFile(cmd, &o.output)
	f.Float64Var(&o.sparsity, "sparsity", 0, "share of the weights that are zero afterwards, in [0, 1)")
	f.BoolVar(&o.removeDead, "remove-dead", false, "take units out of the file without which the function is the same")
	addChoice(cmd, &o.by, "by", "the score", names(prune.Scores())...)
	addChoice(cmd, &o.scope, "scope", "where the smallest are looked for: among all weights, or in each layer", names(prune.Scopes())...)
	f.StringVar(&o.data.data, "data", "", "labelled examples to evaluate both models on: "+dataUsage)
	f.StringVar(&o.data.scores, "scores", "", scoresUsage)
	o.samples.add(f)
	f.StringVar(&o.report, "report", "", "write the report to a file instead of standard output")
	return cmd
}

// pruneJSON is the result of prune, schema relupath.prune/1.
type pruneJSON struct {
	Schema   string  `json:"schema"`
	Model    string  `json:"model"`
	Sparsity float64 `json:"sparsity"`
	By       string  `json:"by"`
	Scope    string  `json:"scope"`
	// Weights are those of fully connected layers and convolutions; Zeros are counted
	// before and after.
	Weights int          `json:"weights"`
	Zeros   [2]int       `json:"zeros"`
	Layers  []prunedJSON `json:"layers"`
	// PathNorm is ||pi||_1 with biases. Metric is the path metric of both models, and
	// Bound says that it bounds the difference of the function.
	PathNorm change   `json:"path_norm"`
	Metric   *float64 `json:"path_metric"`
	Log10    *float64 `json:"path_metric_log10"`
	Bound    bool     `json:"bound"`
	// Proof is "end to end", or "segment by segment" where functions are not evaluated, which
	// Unevaluated names: the differences are then those of the parts between them, on random
	// values of these.
	Proof       string   `json:"proof"`
	Unevaluated []string `json:"unevaluated"`
	// MaxAbs and MaxRel are the largest differences of an output on random inputs of unit
	// scale.
	MaxAbs *float64 `json:"max_abs_diff"`
	MaxRel *float64 `json:"max_rel_diff"`
	// Before and After are what eval says of both models; nil without data.
	Before   *evalJSON `json:"before,omitempty"`
	After    *evalJSON `json:"after,omitempty"`
	Warnings []string  `json:"warnings"`
	Output   string    `json:"output"`
	// Removed is what --remove-dead did; nil without.
	Removed *removedJSON `json:"removed,omitempty"`
	res     *prune.Result
}

// removedJSON is what became of dead units.
type removedJSON struct {
	// Units counts those that went, channels of convolutions as one each.
	Units int `json:"units"`
	// Bytes is the size of the file before and after, Parameters their numbers.
	Bytes      [2]int64 `json:"bytes"`
	Parameters [2]int   `json:"parameters"`
	// Kept counts the dead units that stay, by the reason.
	Kept map[string]int `json:"kept"`
	// MaxRel is the largest difference of an output from the pruned network's, relative
	// to the largest value.
	MaxRel *float64 `json:"max_rel_diff"`
}

// prunedJSON is one layer.
type prunedJSON struct {
	Layer   string `json:"layer"`
	Weights int    `json:"weights"`
	Zeros   [2]int `json:"zeros"`
	// Kept says why its weights stay.
	Kept string `json:"kept,omitempty"`
}

func (o *pruneOptions) run(ctx context.Context, a *app, path string) error {
	switch {
	case o.output == "":
		return usagef("prune: give the model to write with -o")
	case !(o.sparsity >= 0 && o.sparsity < 1):
		return usagef("--sparsity %v: want a number in [0, 1)", o.sparsity)
	}
	if err := o.samples.check(); err != nil {
		return err
	}
	if err := distinct(o.output, o.report); err != nil {
		return err
	}
	if err := a.vacantAll(a.existing(), o.report); err != nil {
		return err
	}
	var r *pruneJSON
	data := o.data.reader(ctx, a)
	if o.data.data != "" {
		o.sample = data.sample
	}
	given := o.modelFlags
	err := a.withAssumed(ctx, path, &o.modelFlags, "prune", func(m *modelFile, assumed *modelFlags) error {
		if err := a.steady(ctx, path, m, &given); err != nil {
			return err
		}
		if assumed != nil {
			o.modelFlags = *assumed
		}
		if err := a.vacantModel(m, o.output, a.existing()); err != nil {
			return err
		}
		var err error
		if r, err = o.work(ctx, a, m, path, data); r != nil {
			r.Warnings = append(r.Warnings, ofShape(assumed)...)
		}
		return err
	})
	if err != nil {
		return err
	}
	d := pruneDocument(r)
	if o.report != "" {
		return a.report(d, o.report, a.existing())
	}
	return a.reportBeside(o.output, d)
}

// work prunes into a draft, reads it again, compares, and puts it in place.
func (o *pruneOptions) work(ctx context.Context, a *app, m *modelFile, path string, data setReader) (*pruneJSON, error) {
	res, err := prune.Run(m.Net, prune.Options{
		Sparsity: o.sparsity, By: prune.Score(o.by), Scope: prune.Scope(o.scope), Bias: a.biasPolicy(), Threads: a.threads,
	})
	if err != nil {
		return nil, err
	}
	if !o.removeDead {
		return o.written(ctx, a, m, path, res, nil, data)
	}
	dead, err := findDead(ctx, m, res.Net)
	if err != nil {
		return nil, err
	}
	r, err := o.written(ctx, a, m, path, res, dead, data)
	if fails, ok := errors.AsType[*removalError](err); ok {
		n := dead.Units()
		clear(dead.Gone)
		dead.Kept[fails.Error()] += n
		r, err = o.written(ctx, a, m, path, res, dead, data)
	}
	return r, err
}

// findDead finds the dead units that can go from the file too.
func findDead(ctx context.Context, m *modelFile, net *dag.Network) (*prune.Dead, error) {
	dead, err := prune.FindDead(ctx, net)
	for err == nil && dead.Any() {
		kept := m.Keeps(&removal{Groups: dead.Groups, Gone: dead.Gone})
		if len(kept) == 0 {
			break
		}
		for _, why := range slices.Sorted(maps.Keys(kept)) {
			dead.Keep(kept[why], why)
		}
	}
	return dead, err
}

// removalError is why dead units are not removed though it seemed possible.
type removalError struct{ why string }

func (e *removalError) Error() string { return e.why }

// written writes the pruned network, less dead units where there are some, reads it again,
// compares, and puts it in place.
func (o *pruneOptions) written(ctx context.Context, a *app, m *modelFile, path string, res *prune.Result, dead *prune.Dead, data setReader) (*pruneJSON, error) {
	net, opt := res.Net, writeOptions{}
	removed := dead != nil && dead.Any()
	if removed {
		net, opt.Without = dead.Net(), &removal{Groups: dead.Groups, Gone: dead.Gone}
	}
	w, err := a.writeModel(m, net, o.output, a.existing(), opt)
	if err != nil {
		return nil, err
	}
	defer w.draft.Remove()
	again, err := a.open(ctx, w.path(), &o.modelFlags)
	switch {
	case err != nil && removed:
		return nil, &removalError{"the file without them could not be read"}
	case err != nil:
		return nil, fmt.Errorf("the pruned model cannot be read back: %w", err)
	}
	defer again.Close()
	var r *pruneJSON
	if err := again.Guard(func() error {
		r, err = o.compare(ctx, a, m, again, res, removed, data)
		return err
	}); err != nil {
		return nil, err
	}
	r.Model = path
	if dead != nil {
		r.Removed.Units, r.Removed.Kept = dead.Units(), dead.Kept
		r.Removed.Parameters = [2]int{analysis.Parameters(m.Net), analysis.Parameters(again.Net)}
		if r.Removed.Bytes, err = sizes(m.Files(), again.Files()); err != nil {
			return nil, err
		}
		for _, why := range slices.Sorted(maps.Keys(dead.Kept)) {
			r.Warnings = append(r.Warnings, fmt.Sprintf("%d dead units stay: %s", dead.Kept[why], why))
		}
	}
	if err := a.otherShapes(ctx, path, w.path(), &o.modelFlags, nil); err != nil {
		r.Warnings = append(r.Warnings, err.Error())
	}
	if err := w.sync(); err != nil {
		return nil, err
	}
	if err := w.place(); err != nil {
		return nil, err
	}
	r.Output = o.output
	return r, nil
}

// sizes are the bytes of the files of two models.
func sizes(before, after []string) (out [2]int64, err error) {
	for k, files := range [][]string{before, after} {
		for _, path := range files {
			info, err := os.Stat(path)
			if err != nil {
				return out, err
			}
			out[k] += info.Size()
		}
	}
	return out, nil
}

// removalTolerance is how far outputs may differ, relative to the largest, where biases took
// constants: these are rounded to the type that they are stored in.
const removalTolerance = 1e-6

// compare says what pruning changed, and makes sure that the file holds the pruned network.
func (o *pruneOptions) compare(ctx context.Context, a *app, m, again *modelFile, res *prune.Result, removed bool, data setReader) (*pruneJSON, error) {
	opt := proof.Options{Samples: o.samples.count(), Seed: a.seed, Threads: a.threads, Tolerance: math.Inf(1)}
	same, err := proof.Compare(ctx, res.Net, again.Net, opt)
	switch {
	case removed && (err != nil || !(same.MaxRel <= removalTolerance)):
		return nil, &removalError{"the file without them computes something else"}
	case err != nil:
		return nil, err
	}
	if !removed && !same.BitIdentical {
		return nil, fmt.Errorf("nothing was written: the file does not hold the pruned network: outputs differ by %.3g", same.MaxAbs)
	}
	v, err := proof.Compare(ctx, m.Net, again.Net, opt)
	if err != nil {
		return nil, err
	}
	r := &pruneJSON{
		Schema: "relupath.prune/1", Sparsity: o.sparsity, By: o.by, Scope: o.scope, Layers: []prunedJSON{},
		PathNorm: newChange("path_norm", "1", res.Before, res.After), Metric: render.RealNum(res.Metric), Log10: render.Log10(res.Metric),
		Bound: len(m.Net.Functions()) == 0, Proof: endToEnd, Unevaluated: filled(v.Starts), Warnings: []string{}, res: res,
	}
	if len(v.Starts) > 0 {
		r.Proof = bySegment
		r.Warnings = append(r.Warnings, fmt.Sprintf("not evaluated: %s; the parts between were compared, on random values of it: how the model as a whole changes is not known", someOf(v.Starts)))
	}
	if o.removeDead {
		r.Removed = &removedJSON{MaxRel: render.Real(same.MaxRel)}
	}
	for _, k := range v.Kinds {
		if k.Name == "random" {
			r.MaxAbs, r.MaxRel = render.Real(k.MaxAbs), render.Real(k.MaxRel)
		}
	}
	for _, l := range res.Layers {
		r.Layers = append(r.Layers, prunedJSON{m.Net.Nodes[l.Node].Ref(), l.Weights, [2]int{l.Before, l.After}, l.Kept})
		r.Weights += l.Weights
		r.Zeros[0] += l.Before
		r.Zeros[1] += l.After
		if l.Kept != "" {
			r.Warnings = append(r.Warnings, fmt.Sprintf("the weights of %s stay: %s", m.Net.Nodes[l.Node].Ref(), l.Kept))
		}
	}
	if !r.Bound {
		r.Warnings = append(r.Warnings, "functions stand between the layers: path norms are sums over segments, the score is that within a segment, and nothing bounds the change of the function")
	}
	if o.data.data == "" {
		return r, nil
	}
	if r.Before, err = o.data.work(ctx, a, m, m.Path(), nil, data); err != nil {
		return nil, err
	}
	if r.After, err = o.data.work(ctx, a, again, o.output, nil, data); err != nil {
		return nil, err
	}
	r.Warnings = append(r.Warnings, slices.DeleteFunc(slices.Clone(r.Before.Warnings), func(s string) bool { return slices.Contains(m.Warnings, s) })...)
	return r, nil
}

func pruneDocument(r *pruneJSON) *render.Document {
	f := render.Table{Title: "prune", Columns: []string{"", ""}}
	fact := func(name string, c render.Cell) { f.Add(render.Text(name), c) }
	fact("model", render.Code(r.Model))
	fact("score", render.Text(r.By+", "+r.Scope))
	fact("zeros", render.Text(fmt.Sprintf("%d of %s, %d before", r.Zeros[1], words.Count(r.Weights, "weight"), r.Zeros[0])))
	fact("path norm before", render.Number(r.PathNorm.before))
	fact("path norm after", render.Number(r.PathNorm.after))
	if r.Bound {
		fact("outputs change by at most, times max(1, |x|)", render.Number(r.res.Metric))
	}
	if d := r.Removed; d != nil {
		fact("dead units removed", render.Int(d.Units))
		fact("parameters", render.Text(fmt.Sprintf("%s, %s before", render.Count(d.Parameters[1]), render.Count(d.Parameters[0]))))
		fact("bytes", render.Text(fmt.Sprintf("%s, %s before", render.Count(int(d.Bytes[1])), render.Count(int(d.Bytes[0])))))
	}
	fact("largest change on random inputs", render.Text(short(r.MaxAbs)))
	for _, e := range []struct {
		when string
		eval *evalJSON
	}{{"before", r.Before}, {"after", r.After}} {
		if e.eval == nil {
			continue
		}
		fact("loss "+e.when, render.Text(short(e.eval.Loss)))
		if e.eval.Error != nil {
			fact("error "+e.when, render.Text(short(e.eval.Error)))
		}
	}
	fact("written", render.Code(r.Output))
	t := render.Table{Title: "zeros of the layers", Columns: []string{"layer", "weights", "before", "after", "share"}}
	for _, l := range r.Layers {
		t.Add(render.Code(l.Layer), render.Int(l.Weights), render.Int(l.Zeros[0]), render.Int(l.Zeros[1]),
			render.Float(float64(l.Zeros[1])/float64(max(l.Weights, 1))))
	}
	return &render.Document{
		Title: "relupath prune", Label: "relupath-prune", Data: r, Records: &t, Tables: []render.Table{f, t}, Notes: r.Warnings,
		Subject: subject([]string{r.Model}), Lead: fmt.Sprintf("%s of %s are zero, %s before; the outputs of random inputs change by at most %s.",
			render.Count(r.Zeros[1]), words.Count(r.Weights, "weight"), render.Count(r.Zeros[0]), short(r.MaxAbs)),
	}
}
