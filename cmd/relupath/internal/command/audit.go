package command

import (
	"context"
	"fmt"
	"sync"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
)

type auditOptions struct {
	modelFlags
	p, group, measures []string
	perLayer, sha256   bool
	jobs               int
	output             string
}

func (a *app) audit() *cobra.Command {
	o := &auditOptions{}
	cmd := &cobra.Command{
		Use:   "audit MODEL... | DIR...",
		Short: "Measure models: path norms, group norms and other capacities",
		Long: `audit prints every measure of each model, per layer and as a whole. Several
models give one table to compare them; a folder stands for the *.onnx files
below it. A model that cannot be read is reported, the others are measured, and
the exit code is 3.`,
		Example: `  relupath audit mlp.onnx
  relupath audit mlp.onnx balanced.onnx --p 1,2 --group 1:inf
  relupath audit . --measures path_norm --format csv -o norms.csv
  relupath audit mlp.onnx --per-layer --measures all --format html -o mlp.html`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), a, args) },
	}
	f := cmd.Flags()
	o.add(cmd)
	f.StringSliceVar(&o.p, "p", []string{"1", "2", "inf"}, "orders of the path norms")
	f.StringSliceVar(&o.group, "group", nil, "group norms p:q, such as 1:inf,2:2 (default: a usual choice)")
	f.StringSliceVar(&o.measures, "measures", []string{"fast"}, "names of measures, or all, or fast: those that need no singular values")
	f.BoolVar(&o.perLayer, "per-layer", false, "show the layers too")
	f.BoolVar(&o.sha256, "sha256", false, "add the SHA-256 of each file")
	f.IntVar(&o.jobs, "jobs", 0, "models to measure at a time (default: the number of threads)")
	f.StringVarP(&o.output, "output", "o", "", "write the result to a file")
	must(cmd.RegisterFlagCompletionFunc("measures", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		names := []string{"fast", "all"}
		for _, i := range analysis.Registry() {
			names = append(names, i.Name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}))
	return cmd
}

func (o *auditOptions) run(ctx context.Context, a *app, args []string) error {
	opt, err := o.analysis(a)
	if err != nil {
		return &usageError{err}
	}
	if o.output != "" {
		if err := a.vacant(o.output); err != nil {
			return err
		}
	}
	paths, err := expand(args)
	if err != nil {
		return err
	}
	jobs := o.jobs
	if jobs <= 0 {
		jobs = a.threads
	}
	jobs = min(jobs, len(paths))
	opt.Threads = max(1, a.threads/jobs)
	models := make([]auditedModel, len(paths))
	errs := make([]error, len(paths))
	bar := a.progress(len(paths), "measuring")
	parallel(jobs, len(paths), func(i int) {
		if errs[i] = ctx.Err(); errs[i] == nil {
			models[i], errs[i] = o.one(ctx, a, paths[i], opt)
		}
		step(bar)
	})
	if err := ctx.Err(); err != nil {
		return err
	}
	result := &auditJSON{Schema: "relupath.audit/1", Bias: a.bias, Models: []auditedModel{}, Errors: []failure{}}
	for i, err := range errs {
		if err != nil {
			result.Errors = append(result.Errors, newFailure(paths[i], err))
			continue
		}
		result.Models = append(result.Models, models[i])
	}
	if err := a.report(auditDocument(result, o.perLayer), o.output); err != nil {
		return err
	}
	return a.failures(result.Errors, len(paths))
}

// failures tells on standard error which models could not be read; CSV has no
// other place for the reasons.
func (a *app) failures(fs []failure, of int) error {
	if len(fs) == 0 {
		return nil
	}
	if a.format == string(render.CSV) {
		for _, f := range fs {
			fmt.Fprintf(a.err, "relupath: %v\n", f.err)
		}
	}
	return &exit{codeInvalid, fmt.Errorf("%d of %d models could not be measured", len(fs), of)}
}

// analysis turns the flags into options.
func (o *auditOptions) analysis(a *app) (analysis.Options, error) {
	opt := analysis.Options{Names: o.measures, Bias: a.biasPolicy()}
	var err error
	if opt.P, err = parseOrders(o.p); err != nil {
		return opt, fmt.Errorf("--p: %w", err)
	}
	pairs, err := parsePairs(o.group)
	if err != nil {
		return opt, fmt.Errorf("--group: %w", err)
	}
	for _, pq := range pairs {
		opt.Groups = append(opt.Groups, analysis.PQ{P: pq[0], Q: pq[1]})
	}
	return opt, o.known()
}

// known checks the names of measures.
func (o *auditOptions) known() error {
	names := map[string]bool{"fast": true, "all": true}
	for _, i := range analysis.Registry() {
		names[i.Name] = true
	}
	for _, n := range o.measures {
		if !names[n] {
			return fmt.Errorf("--measures: there is no measure %q; relupath audit --measures all lists every name", n)
		}
	}
	return nil
}

// one measures one model.
func (o *auditOptions) one(ctx context.Context, a *app, path string, opt analysis.Options) (auditedModel, error) {
	m, err := a.open(ctx, path, &o.modelFlags)
	if err != nil {
		return auditedModel{}, err
	}
	defer m.Close()
	r, err := analysis.Measures(ctx, m.Net, opt)
	if err != nil {
		return auditedModel{}, err
	}
	out := newAudited(path, m, r)
	if o.sha256 && path != stdStream {
		out.SHA256, err = hash(path)
	}
	return out, err
}

// parallel calls f for each of n indices from the given number of goroutines.
func parallel(jobs, n int, f func(i int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(max(jobs, 1), n) {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// step moves a progress bar, whose failures to draw do not matter.
func step(bar *progressbar.ProgressBar) { _ = bar.Add(1) }
