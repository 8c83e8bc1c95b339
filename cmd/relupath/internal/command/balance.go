package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/rescale"
	"github.com/relupath/relupath/cmd/relupath/internal/proof"
)

type balanceOptions struct {
	modelFlags
	method    string
	p         order
	exact     bool
	samples   sampleFlags
	inputs    []string
	tolerance float64
	dryRun    bool
	plots     string
	report    string
	output    string
	given     bool // the shapes are those of the flags
}

func (a *app) balance() *cobra.Command {
	o := &balanceOptions{p: 2}
	var names []string
	var methods strings.Builder
	for _, m := range rescale.Methods() {
		names = append(names, string(m.Method))
		fmt.Fprintf(&methods, "\n  %-9s %s", m.Method, m.Help)
	}
	cmd := &cobra.Command{
		Use:   "balance MODEL -o OUT",
		Short: "Rescale the units: the same function with balanced weights, and a proof",
		Long: `balance multiplies the incoming weights of each hidden unit by a positive factor
and divides its outgoing weights by it, which changes no output. The result is
written to a temporary file and read again; only when its outputs agree with
the model's does it become OUT. A model with external data gets a new data file,
OUT.data, or OUT.1.data where that is another's.

Methods:` + methods.String() + `

Before quantisation to int8 with one scale for a tensor: cle or enorm, where the
report's channel_range is above about 4. With a scale for each channel: mostly none.
Before float16: any, where largest_weight is above 65504. Before fine-tuning by SGD
of a network that is out of balance: enorm or cle. To compare models: the same for all.
docs/balancing.md has what each was measured to be worth.`,
		Example: `  relupath balance mlp.onnx -o equal.onnx --method enorm
  relupath balance mlp.onnx -o exact.onnx --exact --format json
  relupath balance mlp.onnx -o paths.onnx --format html --report proof.html
  relupath balance mlp.onnx --method path --p inf --dry-run`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), a, args[0])
		},
	}
	o.add(cmd)
	f := cmd.Flags()
	addModelFile(cmd, &o.output)
	addChoice(cmd, &o.method, "method", "how to choose the factors", names...)
	f.Var(&o.p, "p", "order of the norms that path and enorm balance")
	f.BoolVar(&o.exact, "exact", false, "powers of two as factors, and bit-identical outputs")
	o.samples.add(f)
	f.StringArrayVar(&o.inputs, "inputs", nil, "further inputs to compare on: [NAME=]X.npy, batch first")
	f.Float64Var(&o.tolerance, "tolerance", 0,
		"largest difference relative to the largest output (default: 1e-10, 1e-5 or 2e-2 by the stored type)")
	f.BoolVar(&o.dryRun, "dry-run", false, "report and prove, but write nothing")
	f.StringVar(&o.report, "report", "", "write the report to a file instead of standard output")
	f.StringVar(&o.plots, "plots", "", "a folder for the plots as SVG, PNG and PDF files")
	return cmd
}

// clock takes the seconds of each part of the work.
type clock struct {
	model string // the source
	last  time.Time
	parts seconds
}

// lap adds the time since the last lap to a part.
func (c *clock) lap(part *float64) {
	now := time.Now()
	*part += now.Sub(c.last).Seconds()
	c.last = now
}

func (o *balanceOptions) check(a *app) error {
	switch {
	case o.output == "" && !o.dryRun:
		return usagef("balance: give the model to write with -o, or --dry-run")
	case !(o.tolerance >= 0):
		return usagef("--tolerance %v: want a positive number", o.tolerance)
	}
	if err := o.samples.check(); err != nil {
		return err
	}
	if err := rescale.Method(o.method).CheckOrder(float64(o.p)); err != nil {
		return usagef("--p: %v", err)
	}
	outputs := []string{o.output, o.report}
	if o.dryRun {
		outputs = outputs[1:]
	}
	if err := distinct(outputs...); err != nil {
		return err
	}
	return a.vacantAll(a.existing(), outputs...)
}

func (o *balanceOptions) run(ctx context.Context, a *app, path string) error {
	if err := o.check(a); err != nil {
		return err
	}
	c := &clock{model: path, last: time.Now()}
	o.given = len(o.shapes) > 0
	var r *balanceJSON
	balance := func(m *modelFile, assumed *modelFlags) error {
		if assumed != nil {
			o.modelFlags = *assumed
		}
		c.lap(&c.parts.Read)
		if o.dryRun {
			o.output = ""
		} else if err := a.vacantModel(m, o.output, a.existing()); err != nil {
			return err
		}
		var err error
		if r, err = o.work(ctx, a, m, c); r != nil {
			r.Warnings = append(r.Warnings, ofShape(assumed)...)
		}
		return err
	}
	err := a.withAssumed(ctx, path, &o.modelFlags, "balance", func(m *modelFile, assumed *modelFlags) error {
		if assumed == nil {
			return balance(m, nil)
		}
		given := o.modelFlags
		return a.whole(ctx, path, m, &given, assumed, balance)
	})
	if r == nil {
		return err
	}
	r.Model = path
	d := balanceDocument(r)
	var reported error
	if o.report != "" {
		reported = a.report(d, o.report, a.existing())
	} else {
		reported = a.reportBeside(o.output, d)
	}
	return errors.Join(reported, a.plots(d, o.plots, a.existing()), err)
}

// work balances. A result beside an error is the report of a proof that failed.
func (o *balanceOptions) work(ctx context.Context, a *app, m *modelFile, c *clock) (*balanceJSON, error) {
	a.stage(m.Path(), "finding factors")
	res, err := rescale.Run(ctx, rescale.Method(o.method), m.Net, rescale.Options{
		P: float64(o.p), Bias: a.biasPolicy(), Threads: a.threads, Seed: a.seed, Exact: o.exact,
	})
	if err != nil {
		return nil, err
	}
	net, err := m.Net.Rescale(res.Groups, res.Factors)
	if err != nil {
		return nil, err
	}
	c.lap(&c.parts.Factors)
	return o.finish(ctx, a, m, res, net, c)
}

// finish writes the model into a draft, proves that what was written computes
// the same, puts it in place and reports.
func (o *balanceOptions) finish(ctx context.Context, a *app, m *modelFile, res *rescale.Result, net *dag.Network, c *clock) (*balanceJSON, error) {
	a.stage(m.Path(), "writing")
	w, err := a.writeModel(m, net, o.output, a.existing(), writeOptions{})
	if err != nil {
		return nil, err
	}
	defer w.draft.Remove()
	c.lap(&c.parts.Write)
	again, err := a.open(ctx, w.path(), &o.modelFlags)
	if err != nil {
		return nil, fmt.Errorf("the balanced model cannot be read back: %w", err)
	}
	defer again.Close()
	var r *balanceJSON
	if err := again.Guard(func() error {
		r, err = o.prove(ctx, a, m.Net, again.Net, res, c)
		return err
	}); err != nil {
		return nil, err
	}
	failed := o.verdict(&r.Verification)
	if failed == nil {
		failed = a.otherShapes(ctx, c.model, w.path(), &o.modelFlags, func(source, written *modelFile) error {
			return o.proveOther(ctx, a, &r.Verification, source.Net, written.Net, res.Factors)
		})
		switch {
		case failed == nil || ctx.Err() != nil:
		case o.given:
			r.Warnings = append(r.Warnings, failed.Error())
			failed = nil
		default:
			failed = invalidf("nothing was written: %w: give the one shape that it is to be for with --input-shape", failed)
		}
	}
	if failed == nil && !o.dryRun {
		if err := w.sync(); err != nil {
			return nil, err
		}
		c.lap(&c.parts.Fsync)
		if err := w.place(); err != nil {
			return nil, err
		}
		r.Output = o.output
	}
	r.Seconds = c.parts
	return r, failed
}

// prove compares the model with what was written.
func (o *balanceOptions) prove(ctx context.Context, a *app, source, written *dag.Network, res *rescale.Result, c *clock) (*balanceJSON, error) {
	opt := proof.Options{Samples: o.samples.count(), Seed: a.seed, Threads: a.threads, Tolerance: o.tolerance}
	if o.tolerance == 0 { // one that is given is strict
		opt.Tolerance = proof.Tolerance(source)
		opt.Unrounded = func() (*dag.Network, error) { return unrounded(source, written, res) }
	}
	if len(o.inputs) > 0 {
		var err error
		if opt.Inputs, opt.Batch, err = a.readInputs(ctx, source, o.inputs); err != nil {
			return nil, err
		}
	}
	a.stage(c.model, "verifying")
	opt.Progress = a.step
	v, err := proof.Compare(ctx, source, written, opt)
	if err != nil {
		return nil, err
	}
	c.lap(&c.parts.Verify)
	r := newBalanceJSON(o, res)
	r.Bias = a.bias
	r.Verification = newVerification(v, opt.Tolerance)
	r.Warnings = append(r.Warnings, r.Verification.notes()...)
	a.stage(c.model, "measuring")
	if err := r.measure(ctx, a, source, written); err != nil {
		return nil, err
	}
	c.lap(&c.parts.Measure)
	return r, nil
}

// proveOther is prove for another shape than that of the factors, whose groups are mostly the
// same. The rounding of the weights may do to the outputs what it does with the first,
// within a factor, and what it is seen to do here.
func (o *balanceOptions) proveOther(ctx context.Context, a *app, first *verification, source, written *dag.Network, factors []float64) error {
	const factor = 10
	opt := proof.Options{
		Samples: o.samples.count(), Seed: a.seed, Threads: a.threads, Tolerance: max(first.Tolerance, factor*first.proof.MaxRel),
	}
	if o.tolerance == 0 { // one that is given is strict
		opt.Unrounded = func() (*dag.Network, error) {
			g := source.Groups()
			if g.Count != len(factors) {
				return nil, fmt.Errorf("%d factors for %d groups of units", len(factors), g.Count)
			}
			return unrounded(source, written, &rescale.Result{Groups: g, Factors: factors})
		}
	}
	v, err := proof.Compare(ctx, source, written, opt)
	if err != nil {
		return err
	}
	of := newVerification(v, opt.Tolerance)
	return o.verdict(&of)
}

// unrounded is what was written, with the numbers before they were rounded.
func unrounded(source, written *dag.Network, res *rescale.Result) (*dag.Network, error) {
	exact, err := source.RescaleUnrounded(res.Groups, res.Factors)
	if err != nil {
		return nil, err
	}
	return written.Unround(exact)
}

// verdict returns the error of a failed proof.
func (o *balanceOptions) verdict(of *verification) error {
	v := of.proof
	switch {
	case o.exact && !v.BitIdentical:
		return fmt.Errorf("nothing was written: --exact wants bit-identical outputs, they differ by up to %.3g relative to the largest (%s)",
			v.MaxRel, v.Where)
	case v.Unexplained > 0:
		return fmt.Errorf("nothing was written: outputs differ by %.3g relative to the largest (%s), more than the tolerance %.3g",
			v.Unexplained, v.UnexplainedAt, of.Tolerance)
	case len(v.Undecided) > 0:
		return fmt.Errorf("nothing was written: on every kind of input the rounding of the new weights alone changes %s by more than a tenth: give --exact, which rounds nothing",
			strings.Join(v.Undecided, ", "))
	}
	return nil
}
