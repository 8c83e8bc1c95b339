package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/cmd/relupath/internal/view"
	"github.com/relupath/relupath/finetune"
	"github.com/relupath/relupath/finetune/dataset"
	"github.com/relupath/relupath/internal/words"
)

func (a *app) audit() *cobra.Command {
	o := &auditOptions{}
	cmd := &cobra.Command{
		Use:   "audit MODEL... | DIR...",
		Short: "Measure models: path norms, group norms and other capacities",
		Long: `audit prints every measure of each model, per layer and as a whole. Several
models give one table to compare them; a folder stands for the *.onnx files
below it. A model that cannot be read is reported, the others are measured, and
the exit code is 3. Checkpoints of one run, given in order, make plots over time.

--list prints what the measures are. --rescalings N draws N equivalent networks
of each model and shows how far each measure moves. --format jsonl writes each
model on a line of its own as soon as it and those before it are measured.`,
		Example: `  relupath audit mlp.onnx
  relupath audit mlp.onnx balanced.onnx --p 1,2 --group 1:inf
  relupath audit mlp.onnx balanced.onnx --baseline mlp.onnx --sort path_norm
  relupath audit . --measures path_norm --format csv -o norms.csv
  relupath audit mlp.onnx --per-layer --measures all --format html -o mlp.html
  relupath audit iris.onnx --data csv:iris.csv,header --measures all
  relupath audit mlp.onnx --rescalings 10
  relupath audit . --columns parameters,depth,path_norm,frobenius -o norms.tex
  relupath audit --list`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.chosen = cmd.Flags().Changed("measures") || cmd.Flags().Changed("group")
			o.ordered = cmd.Flags().Changed("p")
			return o.run(cmd.Context(), a, args)
		},
	}
	o.add(cmd)
	o.measureFlags(cmd)
	f := cmd.Flags()
	f.BoolVar(&o.list, "list", false, "print the measures: formula, source, unit, cost, invariance")
	f.BoolVar(&o.perLayer, "per-layer", false, "show the layers too")
	f.BoolVar(&o.segments, "segments", false, "show the parts between functions, each with its path norms, of networks that have several")
	f.StringVar(&o.sort, "sort", "", "order of the models: a measure, such as path_norm(2); -NAME for the largest first")
	f.StringVar(&o.baseline, "baseline", "", "a model to whose values the others' are divided: one of them, or another file, which then comes first")
	f.IntVar(&o.rescalings, "rescalings", 0, "how far each measure moves over so many rescaling-equivalent networks")
	f.StringVar(&o.filesFrom, "files-from", "", "a file with one path a line; - is standard input")
	f.Var(&o.shard, "shard", "the K-th of N parts of the sorted list of models, for as many machines: 3/64")
	f.BoolVar(&o.sha256, "sha256", false, "add the SHA-256 of each file")
	f.StringVar(&o.plots, "plots", "", "a folder for the plots as SVG, PNG and PDF files")
	addReportFile(cmd, &o.output)
	return cmd
}

func (o *auditOptions) run(ctx context.Context, a *app, args []string) error {
	opt, err := o.analysis(a)
	if err != nil {
		return &usageError{err}
	}
	if err := a.vacantAll(a.existing(), o.output); err != nil {
		return err
	}
	if o.list {
		return a.report(listDocument(analysis.Registry()), o.output, a.existing())
	}
	paths, err := o.paths(ctx, a, args)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(o.conditions, relative) && o.baseline == "" {
		return usagef("--fail-if with x or %% is against another model: give --baseline, or use relupath diff A B")
	}
	if a.format == string(render.JSONLines) && o.failIf != nil {
		return usagef("--format jsonl writes each model as it is measured, and --fail-if looks at all of them: use --format json")
	}
	if names := o.unseen(a.format); names != nil {
		a.warn("measures of single layers, which --per-layer shows: %s", strings.Join(names, ", "))
	}
	if o.baseline != "" && !slices.Contains(shortNames(paths), o.baseline) && !slices.ContainsFunc(paths, func(p string) bool { return filepath.Clean(p) == filepath.Clean(o.baseline) }) {
		if info, err := os.Stat(o.baseline); err == nil && !info.IsDir() {
			paths = append([]string{o.baseline}, paths...)
		}
	}
	o.several = len(paths) > 1
	work := &auditWork{app: a, options: o, paths: paths, measure: opt}
	defer work.closing.Wait()
	return work.prepared(ctx, func() error { return work.run(ctx) })
}

// prepared calls f when the data and the reference are read, which stay open until it
// returns.
func (w *auditWork) prepared(ctx context.Context, f func() error) (err error) {
	if w.options.data != "" {
		if w.data, err = w.readSet(ctx, "data", w.options.data, dataset.Options{DefaultSplit: dataset.Train}); err != nil {
			return err
		}
		w.options.sample = func() ([]int, error) { return w.data.Shape(), nil }
	}
	if w.options.reference == "" {
		return f()
	}
	return w.withAssumed(ctx, w.options.reference, &w.options.modelFlags, "compare with", func(ref *modelFile, _ *modelFlags) error {
		w.measure.Reference, w.reference = ref.Net, ref
		return f()
	})
}

func (w *auditWork) run(ctx context.Context) error {
	switch {
	case w.options.rescalings > 0:
		return w.options.study(ctx, w)
	case w.streams():
		return w.stream(ctx)
	}
	return w.table(ctx)
}

// paths lists the models: arguments, and the lines of --files-from.
func (o *auditOptions) paths(ctx context.Context, a *app, args []string) ([]string, error) {
	args = naturally(args)
	if o.filesFrom != "" {
		list, err := a.readList(ctx, o.filesFrom)
		if err != nil {
			return nil, err
		}
		args = append(args, list...)
	}
	if len(args) == 0 {
		return nil, usagef("audit: give a model, a folder, or --files-from")
	}
	paths, err := expand(args)
	return o.shard.take(paths), err
}

// readList reads a file of one path a line; empty lines do not count.
func (a *app) readList(ctx context.Context, path string) ([]string, error) {
	raw, err := a.readFile(ctx, path)
	if err != nil {
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(raw)) {
		if line = strings.TrimRight(line, "\r\n"); strings.TrimSpace(line) != "" {
			out = append(out, line)
		}
	}
	return out, nil
}

// auditWork measures a list of models.
type auditWork struct {
	*app
	options *auditOptions
	paths   []string
	measure analysis.Options
	data    *dataset.Set
	// reference is the model of --reference, nil without.
	reference *modelFile
	// closing are the models that are measured: to unmap a large file takes as
	// long as to write its table.
	closing sync.WaitGroup
}

// guard calls f with the guard of the reference, which holds for one goroutine.
func (w *auditWork) guard(f func() error) error {
	if w.reference == nil {
		return f()
	}
	return w.reference.Guard(f)
}

// one measures one model and closes it.
func (w *auditWork) one(ctx context.Context, path string, opt analysis.Options) (out auditedModel, err error) {
	m, err := w.open(ctx, path, &w.options.modelFlags)
	if err == nil {
		out, err = w.opened(ctx, path, m, opt, nil, nil)
	} else if shapes := assumable(err); shapes != nil && w.data == nil {
		out, err = w.assumed(ctx, path, shapes, opt)
	}
	if err == nil && w.options.sha256 && path != stdStream {
		out.SHA256, err = hash(path)
	}
	return out, err
}

// opened measures one model that is read, and closes it. What does not agree with another
// report, if there is one, is left out for the reason opt.Open, or taken from that of whole tables.
func (w *auditWork) opened(ctx context.Context, path string, m *modelFile, opt analysis.Options, other, whole *analysis.Report) (out auditedModel, err error) {
	defer w.closing.Go(func() { _ = m.Close() })
	err = m.Guard(func() error {
		at, err := w.scoring(ctx, m, &opt)
		if err != nil {
			return err
		}
		if !w.drawn() {
			opt.WeightsRead = m.Release
		}
		opt.Progress = w.measuring(path)
		r, err := analysis.Measures(ctx, m.Net, opt)
		if err != nil {
			return err
		}
		if other != nil {
			r.Agree(other, whole, opt.Open)
		}
		out = newAudited(path, m, r)
		data, warnings := dataOf(at)
		out.Data, out.Warnings = data, append(out.Warnings, warnings...)
		if w.drawn() {
			out.units = view.UnitNorms(m.Net, 2, opt.Bias, opt.Threads)
			out.diagram = diagramOf(m.Net)
			out.inputs, out.outputs = ports(m.Inputs), ports(m.Outputs)
		}
		return nil
	})
	return out, err
}

// measuring shows how far the measuring of a model is, if it is the only one.
func (w *auditWork) measuring(path string) func(stage string, done, all int) {
	if w.several || w.status == nil {
		return nil
	}
	last := ""
	return func(stage string, done, all int) {
		if stage != last {
			last = stage
			w.stage(path, stage)
		}
		w.step(done, all)
	}
}

// scoring finds the scores of a model for the data, and makes them data for the
// measures; nil without data.
func (w *auditWork) scoring(ctx context.Context, m *modelFile, opt *analysis.Options) (*scoring, error) {
	if w.data == nil {
		return nil, nil
	}
	at, err := evaluated(ctx, m, w.data, w.options.scores)
	if err == nil {
		opt.Data, err = at.labelled()
		opt.Differentiate = finetune.Differentiate
	}
	return at, err
}

// drawn reports whether the result has figures of single models.
func (w *auditWork) drawn() bool {
	return len(w.paths) <= maxDrawn && (w.options.plots != "" || w.format == string(render.HTML))
}

// each measures every model, several at a time, and calls f in the order of
// the paths, each as soon as it and those before it are done. It ends early
// when the context does; f is then not called for the rest.
func (w *auditWork) each(ctx context.Context, f func(i int, m auditedModel, err error) error) error {
	jobs := w.options.jobs
	if jobs <= 0 {
		jobs = w.threads
	}
	jobs = max(1, min(jobs, len(w.paths)))
	opt := w.measure
	opt.Threads = max(1, w.threads/jobs)
	if w.several = len(w.paths) > 1; w.several {
		w.stage("", fmt.Sprintf("measuring %s", words.Count(len(w.paths), "model")))
	}
	var done atomic.Int64
	err := inOrder(ctx, jobs, len(w.paths), func(i int) (m auditedModel, err error) {
		err = w.guard(func() error {
			m, err = w.one(ctx, w.paths[i], opt)
			return err
		})
		if n := done.Add(1); w.several {
			w.step(int(n), len(w.paths))
		}
		return m, err
	}, f)
	if wrong := w.misnamed(&w.options.modelFlags); wrong != nil && err == nil && w.several {
		w.warn("%v", wrong)
	}
	return err
}

// table writes the whole result in one piece. After an interrupt it has what
// was measured until then.
func (w *auditWork) table(ctx context.Context) error {
	result := w.result()
	interrupted := w.each(ctx, func(i int, m auditedModel, err error) error {
		if err != nil {
			result.Errors = append(result.Errors, newFailure(w.paths[i], err))
		} else {
			result.Models = append(result.Models, m)
		}
		return nil
	})
	if interrupted != nil && len(result.Models)+len(result.Errors) == 0 {
		return interrupted
	}
	if err := w.options.arrange(result); err != nil {
		return err
	}
	for _, c := range w.options.columns {
		if len(result.Models) > 0 && !result.has(c) {
			w.warn("--columns %s: no model has such a measure", c)
		}
	}
	d := auditDocument(result)
	switch {
	case w.format == string(render.HTML):
		d = auditPage(result)
	case w.format != string(render.CSV):
	case w.options.columns == nil:
		d.Records, d.Rows = auditRecords(result)
	default:
		records := columnRecords(result)
		d.Records = &records
	}
	if w.format == string(render.HTML) || w.options.plots != "" {
		d.Figures = auditFigures(result)
	}
	if interrupted != nil {
		d.Notes = append(d.Notes, w.cutShort(len(result.Models)+len(result.Errors)))
	}
	var err error
	// Of one model on a terminal the sentence on standard error says it all.
	if len(w.paths) > 1 || len(result.Errors) == 0 || w.format != string(render.TableFormat) || w.options.output != "" || w.options.verbose {
		err = errors.Join(w.report(d, w.options.output, w.existing()), w.plots(d, w.options.plots, w.existing()))
	}
	if err == nil {
		err = interrupted
	}
	if err != nil {
		return err
	}
	if err := w.failures(result.Errors, len(w.paths)); err != nil {
		return err
	}
	return check(w.options.conditions, result.Models, func(i int) *auditedModel {
		k := slices.IndexFunc(result.Models, func(m auditedModel) bool { return m.Path == result.Baseline })
		if k < 0 || k == i {
			return nil
		}
		return &result.Models[k]
	})
}

// result is that of no model.
func (w *auditWork) result() *auditJSON {
	r := &auditJSON{
		Schema: auditSchema, Bias: w.bias, Models: []auditedModel{}, Errors: []failure{}, perLayer: w.options.perLayer,
		segments: w.options.segments || w.format == string(render.HTML),
		columns:  w.options.shown(w.format), ofLayers: w.options.shownOfLayers(w.format), usual: w.options.columns == nil, verbose: w.options.verbose,
	}
	if w.format == string(render.HTML) && r.usual && !w.options.chosen {
		r.few = w.options.few()
	}
	return r
}

// cutShort says in a result that it is of the first models only.
func (w *auditWork) cutShort(done int) string {
	return fmt.Sprintf("Interrupted after %d of %s.", done, words.Count(len(w.paths), "model"))
}

// streams reports whether models can be written as they are measured: what the
// result says of one does not depend on the others.
func (w *auditWork) streams() bool {
	switch render.Format(w.format) {
	case render.JSONLines:
		return true
	case render.JSON, render.CSV:
		return w.options.sort == "" && w.options.baseline == "" && w.options.plots == "" && w.options.failIf == nil &&
			(w.options.columns == nil || w.format == string(render.JSON))
	}
	return false
}

// stream writes each model as soon as it and those before it are measured, and
// holds none. After an interrupt the result is whole, with what was measured until
// then.
func (w *auditWork) stream(ctx context.Context) error {
	var failed []failure
	var interrupted error
	result := w.result()
	write := func(to io.Writer) error {
		put := func(d *render.Document) error {
			return render.Write(to, d, render.Options{Format: render.Format(w.format)})
		}
		each := func(model func(*auditedModel) error, failure func(failure) error) error {
			interrupted = w.each(ctx, func(i int, m auditedModel, err error) error {
				if err == nil {
					return model(&m)
				}
				f := newFailure(w.paths[i], err)
				failed = append(failed, f)
				return failure(f)
			})
			if errors.Is(interrupted, context.Canceled) {
				return nil // what is done is kept
			}
			return interrupted
		}
		switch render.Format(w.format) {
		case render.JSON:
			return render.WriteList(to, result, "models", w.provenance, func(add func(any) error) error {
				err := each(func(m *auditedModel) error { return add(m) }, func(failure) error { return nil })
				result.Errors = append(result.Errors, failed...)
				return err
			})
		case render.CSV:
			head, _ := auditRecords(result)
			if err := put(&render.Document{Records: head}); err != nil {
				return err
			}
			return each(func(m *auditedModel) error {
				t, rows := auditRecords(&auditJSON{Bias: w.bias, Models: []auditedModel{*m}, perLayer: w.options.perLayer})
				t.Columns = make([]string, len(t.Columns)) // they stand above all
				return put(&render.Document{Records: t, Rows: rows})
			}, func(failure) error { return nil })
		}
		err := each(func(m *auditedModel) error {
			return put(&render.Document{Data: auditLine{Schema: auditSchema, Bias: w.bias, auditedModel: m}})
		}, func(f failure) error { return put(&render.Document{Data: failedLine{auditSchema, f}}) })
		if p, failed := w.provenance(); p != nil || failed != nil {
			line := struct {
				Schema string `json:"schema"`
				*render.Provenance
			}{"relupath.provenance/1", p}
			err = errors.Join(err, failed, put(&render.Document{Data: line}))
		}
		return err
	}
	if err := w.save(cmp.Or(w.options.output, stdStream), w.existing(), write); err != nil {
		return err
	}
	if interrupted != nil {
		return interrupted
	}
	return w.failures(failed, len(w.paths))
}

// failures tells on standard error which models could not be read; CSV has no
// other place for the reasons.
func (a *app) failures(fs []failure, of int) error {
	if len(fs) == 0 {
		return nil
	}
	code := codeInvalid
	for _, f := range fs {
		if internal, ok := errors.AsType[*internalError](f.err); ok {
			code = codeInternal
			if of > 1 {
				fmt.Fprintf(a.err, "relupath: %s: %v\n\n%s", f.Path, f.err, internal.details())
			}
		}
	}
	if len(fs) == 1 && of == 1 {
		if _, ok := errors.AsType[*usageError](fs[0].err); ok {
			return fs[0].err
		}
		// One model, one sentence, whatever the exit code of other commands.
		return &exit{codeInvalid, fs[0].err}
	}
	if a.format == string(render.CSV) {
		for _, f := range fs {
			fmt.Fprintf(a.err, "relupath: %s\n", sentences(f.err))
		}
	}
	return &exit{code, fmt.Errorf("%d of %s could not be measured", len(fs), words.Count(of, "model"))}
}
