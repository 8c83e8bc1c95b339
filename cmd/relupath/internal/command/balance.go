package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/rescale"
	"github.com/relupath/relupath/cmd/relupath/internal/proof"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/onnxio"
)

type balanceOptions struct {
	modelFlags
	method    string
	p         order
	exact     bool
	samples   int
	inputs    []string
	tolerance float64
	dryRun    bool
	output    string
}

func (a *app) balance() *cobra.Command {
	o := &balanceOptions{p: 2}
	cmd := &cobra.Command{
		Use:   "balance MODEL -o OUT",
		Short: "Rescale the units: the same function with balanced weights, and a proof",
		Long: `balance multiplies the incoming weights of each hidden unit by a positive factor
and divides its outgoing weights by it, which changes no output. The result is
written to a temporary file and read again; only when its outputs agree with
the model's does it become OUT.

Methods:
  path      the smallest largest incoming p-norm of a unit
  enorm     the smallest sum of |weight|^p
  cle       equal ranges of the weights before and after each unit
  pathcond  the best conditioned path Gram matrix
  unbalance the opposite: some units of each layer by large random factors`,
		Example: `  relupath balance mlp.onnx -o equal.onnx --method enorm
  relupath balance mlp.onnx -o exact.onnx --exact --format json
  relupath balance mlp.onnx --method path --p inf --dry-run`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), a, args[0]) },
	}
	o.add(cmd)
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "", "the model to write; - is standard output")
	addChoice(cmd, &o.method, "method", "how to choose the factors", methods()...)
	f.Var(&o.p, "p", "order of the norms that path and enorm balance")
	f.BoolVar(&o.exact, "exact", false, "powers of two as factors, and bit-identical outputs")
	f.IntVar(&o.samples, "samples", proof.DefaultSamples, "random inputs to compare outputs on")
	f.StringArrayVar(&o.inputs, "inputs", nil, "further inputs to compare on: [NAME=]X.npy, batch first")
	f.Float64Var(&o.tolerance, "tolerance", 0,
		"largest difference relative to the largest output (default: 1e-10, 1e-5 or 2e-2 by the stored type)")
	f.BoolVar(&o.dryRun, "dry-run", false, "report and prove, but write nothing")
	return cmd
}

func methods() []string {
	return []string{string(rescale.Path), string(rescale.EqualNorm), string(rescale.CrossLayer),
		string(rescale.PathConditioned), string(rescale.Unbalance)}
}

func (o *balanceOptions) run(ctx context.Context, a *app, path string) error {
	switch {
	case o.output == "" && !o.dryRun:
		return usagef("balance: give the model to write with -o, or --dry-run")
	case o.samples < 1:
		return usagef("--samples %d: want at least 1", o.samples)
	case !(o.tolerance >= 0):
		return usagef("--tolerance %v: want a positive number", o.tolerance)
	}
	if !o.dryRun {
		if err := a.vacant(o.output); err != nil {
			return err
		}
	}
	m, err := a.openFinite(ctx, path, &o.modelFlags, "balance")
	if err != nil {
		return err
	}
	defer m.Close()
	res, net, err := o.factors(ctx, a, m.Net)
	if err != nil {
		return err
	}
	return o.finish(ctx, a, m, res, net)
}

// factors finds the factors and applies them.
func (o *balanceOptions) factors(ctx context.Context, a *app, net *dag.Network) (*rescale.Result, *dag.Network, error) {
	res, err := rescale.Run(ctx, rescale.Method(o.method), net, rescale.Options{
		P: float64(o.p), Threads: a.threads, Seed: a.seed})
	if err != nil {
		return nil, nil, err
	}
	if o.exact {
		res = rescale.Exact(res)
	}
	out, err := net.Rescale(res.Groups, res.Factors)
	return res, out, err
}

// finish writes the model to a temporary file, proves that what was written
// computes the same, puts the file in place and reports.
func (o *balanceOptions) finish(ctx context.Context, a *app, m *onnxio.Model, res *rescale.Result, net *dag.Network) error {
	tmp, remove, err := o.temporary()
	if err != nil {
		return err
	}
	defer remove()
	if err := m.WriteFile(tmp, net, onnxio.WriteOptions{}); err != nil {
		return err
	}
	written, err := a.open(ctx, tmp, &o.modelFlags)
	if err != nil {
		return fmt.Errorf("the balanced model cannot be read back: %w", err)
	}
	defer written.Close()
	r, err := o.prove(ctx, a, m, written.Net, res)
	if err != nil {
		return err
	}
	failed := o.verdict(r)
	if failed == nil && !o.dryRun {
		if err := o.place(a, tmp); err != nil {
			return err
		}
		r.Output = o.output
	}
	to := a.out
	if o.output == stdStream {
		// Standard output carries the model; the report goes beside it.
		to = a.err
	}
	return errors.Join(a.reportTo(to, balanceDocument(r)), failed)
}

// temporary returns a name for the written model, in the target's folder so
// that a rename puts it in place, or in a folder of its own.
func (o *balanceOptions) temporary() (path string, remove func(), err error) {
	if !o.dryRun && o.output != stdStream && !isDevice(o.output) {
		path, err = temporary(o.output)
		return path, func() { os.Remove(path) }, err
	}
	dir, err := os.MkdirTemp("", "relupath")
	return filepath.Join(dir, "model.onnx"), func() { os.RemoveAll(dir) }, err
}

// place makes the temporary file the output.
func (o *balanceOptions) place(a *app, tmp string) error {
	if o.output != stdStream && !isDevice(o.output) {
		return a.place(tmp, o.output)
	}
	f, err := os.Open(tmp)
	if err != nil {
		return err
	}
	defer f.Close()
	return a.save(o.output, func(w io.Writer) error {
		_, err := io.Copy(w, f)
		return err
	})
}

// prove compares the model with what was written.
func (o *balanceOptions) prove(ctx context.Context, a *app, m *onnxio.Model, written *dag.Network, res *rescale.Result) (*balanceJSON, error) {
	opt := proof.Options{Samples: o.samples, Seed: a.seed, Threads: a.threads}
	if len(o.inputs) > 0 {
		var err error
		if opt.Inputs, opt.Batch, err = a.readInputs(ctx, m.Net, o.inputs); err != nil {
			return nil, err
		}
	}
	v, err := proof.Compare(ctx, m.Net, written, opt)
	if err != nil {
		return nil, err
	}
	r := newBalanceJSON(o, res)
	r.Bias = a.bias
	r.Verification = verification{Samples: v.Samples, Inputs: v.Inputs, MaxAbs: render.Real(v.MaxAbs),
		MaxRel: render.Real(v.MaxRel), BitIdentical: v.BitIdentical, Tolerance: o.tolerance, Where: v.Where, rel: v.MaxRel}
	if o.tolerance == 0 {
		r.Verification.Tolerance = proof.Tolerance(m.Net)
	}
	r.Invariants, err = invariants(ctx, a, m.Net, written)
	return r, err
}

// verdict returns the error of a failed proof.
func (o *balanceOptions) verdict(r *balanceJSON) error {
	v := &r.Verification
	switch {
	case o.exact && !v.BitIdentical:
		return fmt.Errorf("nothing was written: --exact wants bit-identical outputs, they differ by up to %.3g relative to the largest (%s)",
			v.rel, v.Where)
	case !(v.rel <= v.Tolerance):
		return fmt.Errorf("nothing was written: outputs differ by %.3g relative to the largest (%s), more than the tolerance %.3g",
			v.rel, v.Where, v.Tolerance)
	}
	return nil
}
