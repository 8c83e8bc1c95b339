package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/finetune"
	"github.com/relupath/relupath/finetune/dataset"
	"github.com/relupath/relupath/finetune/experiment"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/outfile"
)

func (a *app) experiment() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "experiment NAME --data SPEC -o DIR",
		Short: "Run the papers' experiments again, and say which claims hold",
		Long: `experiment runs the experiments of the papers again on data of your choice:

  optimizers  Path-SGD, SGD and AdaGrad from balanced and unbalanced starts
  width       one hidden layer of growing width, without regularisation
  invariance  trajectories of equivalent starts, and two weights in a row
  balance     fine-tuning a model after each method of balancing

Each writes a folder: config.json, curves.csv with every curve, the figures as
SVG, PNG and PDF, tables.tex for LaTeX, and summary.md with the claims of the
papers and whether they hold in these runs. Trainings run side by side, one a
thread (--threads). Finished ones are kept in DIR/trainings: the same command
goes on where an interrupted one stopped, and a command with more seeds, epochs
or rates trains only what is new.`,
		Example: `  relupath experiment optimizers --data csv:iris.csv,header --test csv:iris.csv,header -o optimizers --width 4 --epochs 2 --seeds 2 --rates 0.1,0.01 --dropouts 0
  relupath experiment width --data csv:iris.csv,header --test csv:iris.csv,header -o width --widths 2,4 --epochs 2 --seeds 1
  relupath experiment invariance --data csv:iris.csv,header -o invariance --width 4 --steps 10 --seeds 1
  relupath experiment balance iris.onnx --data csv:iris.csv,header --test csv:iris.csv,header -o tuned --epochs 1 --seeds 1 --rates 0.01`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			known := lists.Map(cmd.Commands(), (*cobra.Command).Name)
			return usagef("there is no experiment %q: want one of %s%s", args[0], strings.Join(known, ", "), meant(args[0], known))
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.experimentOptimizers(), a.experimentWidth(), a.experimentInvariance(), a.experimentBalance())
	for _, c := range cmd.Commands() {
		c.Args = usageArgs(c.Args)
		c.Flags().SortFlags = false
	}
	return cmd
}

// experimentFlags are common to all experiments.
type experimentFlags struct {
	name       string
	data, test string
	output     string
	// model is the model that the experiment trains, nil for fresh networks.
	model *modelFile
	read  setReader
}

// reader reads the examples to train on, once.
func (e *experimentFlags) reader(ctx context.Context, a *app) setReader {
	if e.read == nil {
		e.read = a.newSetReader(ctx, e.data, dataset.Options{DefaultSplit: dataset.Train, Task: dataset.Classification})
	}
	return e.read
}

func (e *experimentFlags) add(cmd *cobra.Command) {
	e.name = cmd.Name()
	f := cmd.Flags()
	f.StringVar(&e.data, "data", "", "examples to train on, such as mnist:DIR or cifar10:DIR; see docs/cli.md")
	if e.name != "invariance" {
		f.StringVar(&e.test, "test", "", "examples to evaluate on after each epoch; of the test split unless it names one")
	}
	f.StringVarP(&e.output, "output", "o", "", "the folder to write, or to go on in")
}

// newExperiment makes the command of an experiment that needs nothing but data.
// The flags of its options are the caller's business; the seed is set here.
func newExperiment[O interface{ Check() error }](a *app, cmd *cobra.Command, o *O, seed *uint64,
	run func(context.Context, *experiment.Lab, O) (*experiment.Report, error),
) *cobra.Command {
	var e experimentFlags
	cmd.Args = cobra.NoArgs
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		*seed = a.seed
		if err := positive(cmd); err != nil {
			return err
		}
		return runExperiment(cmd.Context(), a, &e, o, run)
	}
	e.add(cmd)
	return cmd
}

// positive refuses zeros that the experiments would take for their defaults.
func positive(cmd *cobra.Command) error {
	names := []string{"width", "epochs", "grid-epochs", "seeds", "steps", "batch", "lr", "lr-decay", "momentum-max", "truncate-margin"}
	if cmd.Name() == "balance" {
		names = append(names, "momentum") // without it SGD is there anyway
	}
	for _, name := range names {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed && f.Value.String() == "0" {
			return usagef("--%s 0: want a positive number", name)
		}
	}
	return nil
}

// optimizersVar is the flag that lists methods.
func optimizersVar(cmd *cobra.Command, methods *[]finetune.Optimizer) {
	cmd.Flags().Func("optimizers", "the `methods` (default: path-sgd, sgd, adagrad, path-adagrad)", func(list string) error {
		for m := range strings.SplitSeq(list, ",") {
			*methods = append(*methods, finetune.Optimizer(m))
		}
		return nil
	})
}

// ratesVar is the flag of a step size for each method.
func ratesVar(cmd *cobra.Command, rates map[finetune.Optimizer]float64) {
	cmd.Flags().Func("rates", "step sizes, as `method=size,...` (default: path-sgd=0.03, sgd=0.1, and 0.01 for the others)", func(list string) error {
		for part := range strings.SplitSeq(list, ",") {
			m, size, _ := strings.Cut(part, "=")
			rate, err := strconv.ParseFloat(size, 64)
			if err != nil || !slices.Contains(finetune.Optimizers(), finetune.Optimizer(m)) {
				return fmt.Errorf("%q is no method with its step size, such as path-sgd=0.1", part)
			}
			rates[finetune.Optimizer(m)] = rate
		}
		return nil
	})
}

// repeatVar are the flags of what all experiments repeat.
func repeatVar(cmd *cobra.Command, seeds, batch *int) {
	f := cmd.Flags()
	f.IntVar(seeds, "seeds", 3, "number of seeds, from --seed on")
	f.IntVar(batch, "batch", 100, "examples a step")
}

func (a *app) experimentOptimizers() *cobra.Command {
	var o experiment.OptimizersOptions
	cmd := newExperiment(a, &cobra.Command{
		Use:   "optimizers --data SPEC --test SPEC -o DIR",
		Short: "Path-SGD, SGD and AdaGrad from balanced and unbalanced starts",
	}, &o, &o.Seed, experiment.Optimizers)
	f := cmd.Flags()
	f.IntVar(&o.Width, "width", 4000, "units in each of the two hidden layers")
	optimizersVar(cmd, &o.Methods)
	f.StringSliceVar(&o.Starts, "starts", []string{experiment.Balanced, experiment.Unbalanced}, "fresh networks, or the same unbalanced")
	addNumbers(cmd, &o.Dropouts, "dropouts", []float64{0, 0.5}, "probabilities that a step leaves a hidden unit out")
	addNumbers(cmd, &o.Rates, "rates", []float64{1, 0.1, 0.01, 0.001, 0.0001}, "step sizes, of which the training loss chooses")
	f.IntVar(&o.Epochs, "epochs", 20, "passes over the data")
	f.IntVar(&o.GridEpochs, "grid-epochs", 0, "passes of the trainings that choose the step size (default: --epochs)")
	repeatVar(cmd, &o.Seeds, &o.Batch)
	return cmd
}

func (a *app) experimentWidth() *cobra.Command {
	var o experiment.WidthOptions
	cmd := newExperiment(a, &cobra.Command{
		Use:   "width --data SPEC --test SPEC -o DIR",
		Short: "One hidden layer of growing width, without regularisation",
	}, &o, &o.Seed, experiment.Width)
	f := cmd.Flags()
	f.IntSliceVar(&o.Widths, "widths", []int{8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096}, "numbers of hidden units")
	f.IntVar(&o.Epochs, "epochs", 100, "passes over the data")
	f.Float64Var(&o.Rate, "lr", 0.1, "step size")
	f.Float64Var(&o.RateDecay, "lr-decay", 0.99, "factor of the step size after each epoch")
	f.Float64Var(&o.Momentum, "momentum", 0.5, "coefficient of the heavy ball")
	f.Float64Var(&o.MomentumRise, "momentum-rise", 0.02, "what the coefficient rises by after each epoch")
	f.Float64Var(&o.MomentumMax, "momentum-max", 0.9, "what it rises to")
	f.Float64Var(&o.Margin, "truncate-margin", finetune.DefaultMargin, "threshold of the truncated loss")
	repeatVar(cmd, &o.Seeds, &o.Batch)
	return cmd
}

func (a *app) experimentInvariance() *cobra.Command {
	o := experiment.InvarianceOptions{Rates: map[finetune.Optimizer]float64{}}
	cmd := newExperiment(a, &cobra.Command{
		Use:   "invariance --data SPEC -o DIR",
		Short: "Trajectories of equivalent starts, and two weights in a row",
	}, &o, &o.Seed, experiment.Invariance)
	f := cmd.Flags()
	f.IntVar(&o.Width, "width", 64, "units in each of the two hidden layers")
	optimizersVar(cmd, &o.Methods)
	ratesVar(cmd, o.Rates)
	f.IntVar(&o.Steps, "steps", 300, "steps of each trajectory")
	repeatVar(cmd, &o.Seeds, &o.Batch)
	return cmd
}

func (a *app) experimentBalance() *cobra.Command {
	var e experimentFlags
	var o experiment.BalanceOptions
	var flags modelFlags
	cmd := &cobra.Command{
		Use:   "balance MODEL --data SPEC --test SPEC -o DIR",
		Short: "Fine-tuning a model after each method of balancing",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := positive(cmd); err != nil {
				return err
			}
			flags.sample = func() ([]int, error) { return e.reader(cmd.Context(), a).sample() }
			return a.withFinite(cmd.Context(), args[0], &flags, "train", func(m *modelFile) error {
				e.model = m
				o.Net, o.Name, o.Seed = m.Net, filepath.Base(args[0]), a.seed
				return runExperiment(cmd.Context(), a, &e, &o, experiment.Balance)
			})
		},
	}
	flags.add(cmd)
	e.add(cmd)
	f := cmd.Flags()
	addNumbers(cmd, &o.Rates, "rates", []float64{1, 0.1, 0.01, 0.001, 0.0001, 0.00001}, "step sizes, of which the training loss chooses")
	f.Float64Var(&o.Momentum, "momentum", 0.9, "coefficient of SGD with momentum")
	f.IntVar(&o.Epochs, "epochs", 5, "passes over the data")
	f.IntVar(&o.GridEpochs, "grid-epochs", 0, "passes of the trainings that choose the step size (default: --epochs)")
	repeatVar(cmd, &o.Seeds, &o.Batch)
	return cmd
}

// configName is the file that says what a folder's experiment is.
const configName = "config.json"

// experimentConfig is config.json, schema relupath.experiment/1.
type experimentConfig struct {
	Schema     string `json:"schema"`
	Experiment string `json:"experiment"`
	Data       string `json:"data"`
	Test       string `json:"test,omitempty"`
	Options    any    `json:"options"`
	Version    string `json:"version"`
	Machine    struct {
		System  string `json:"system"`
		CPUs    int    `json:"cpus"`
		BLAS    string `json:"blas"`
		Threads int    `json:"threads"`
	} `json:"machine"`
}

const experimentSchema = "relupath.experiment/1"

// folder checks that an experiment may write into a folder, and makes it: a new
// one, an empty one, or one of the same experiment.
func (e *experimentFlags) folder(a *app) error {
	text, err := os.ReadFile(filepath.Join(e.output, configName))
	var old experimentConfig
	switch {
	case err == nil:
		if err := json.Unmarshal(text, &old); err != nil || old.Schema != experimentSchema {
			return fmt.Errorf("%s in %s is of no experiment: give another folder", configName, e.output)
		}
		if old.Experiment != e.name {
			return fmt.Errorf("%s has the experiment %s: give another folder", e.output, old.Experiment)
		}
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	files, err := os.ReadDir(e.output)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case slices.ContainsFunc(files, func(f fs.DirEntry) bool { return !outfile.IsOwn(f.Name()) }) && !a.force:
		return fmt.Errorf("%s is not empty and has no experiment: give another folder, or --force", e.output)
	}
	return os.MkdirAll(e.output, 0o777)
}

// runExperiment reads the data, runs, and writes the folder.
func runExperiment[O interface{ Check() error }](ctx context.Context, a *app, e *experimentFlags, options *O,
	run func(context.Context, *experiment.Lab, O) (*experiment.Report, error),
) error {
	switch {
	case e.data == "":
		return usagef("experiment %s: give the examples with --data", e.name)
	case e.test == "" && e.name != "invariance":
		return usagef("experiment %s: give the examples to test on with --test", e.name)
	case e.output == stdStream:
		return usagef("-o: the output is a folder: give its name")
	case e.output == "":
		return usagef("experiment %s: give the folder to write with -o", e.name)
	}
	if err := (*options).Check(); err != nil {
		return &usageError{err}
	}
	lab := &experiment.Lab{Dir: filepath.Join(e.output, "trainings"), Threads: a.threads}
	var err error
	if lab.Train, lab.Test, err = a.readSets(ctx, e.model, e.reader(ctx, a), e.test); err != nil {
		return err
	}
	if err := e.folder(a); err != nil {
		return err
	}
	unlock, err := outfile.Lock(e.output)
	if err != nil {
		return fmt.Errorf("the experiment's folder %w", err)
	}
	defer unlock()
	config := e.config(a, options)
	if err := a.save(filepath.Join(e.output, configName), replaced, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(config)
	}); err != nil {
		return err
	}
	a.stage("", "trainings")
	lab.Progress = func(p experiment.Progress) { a.step(p.Done, p.Total) }
	// Trainings that are interrupted keep their checkpoints.
	a.keep()
	report, err := run(ctx, lab, *options)
	switch {
	case has[*finetune.OptionError](err):
		return &usageError{err}
	case has[*experiment.FitError](err):
		return &dataError{err}
	case err != nil:
		return err
	}
	d := experimentDocument(report, config)
	if err := a.writeExperiment(d, report, e.output); err != nil {
		return err
	}
	return a.reportBeside("", d)
}

func (e *experimentFlags) config(a *app, options any) *experimentConfig {
	c := &experimentConfig{Schema: experimentSchema, Experiment: e.name, Data: e.data, Test: e.test, Options: options, Version: version()}
	c.Machine.System, c.Machine.CPUs = runtime.GOOS+"/"+runtime.GOARCH, runtime.NumCPU()
	c.Machine.BLAS, c.Machine.Threads = blas.Find().Name(), a.threads
	return c
}

// writeExperiment writes what a report shows into the folder.
func (a *app) writeExperiment(d *render.Document, r *experiment.Report, dir string) error {
	for _, out := range []struct {
		name   string
		format render.Format
		doc    *render.Document
	}{
		{"curves.csv", "csv", &render.Document{Records: d.Records}},
		// The claims are prose, which a paper has in words of its own.
		{"tables.tex", "latex", &render.Document{Title: d.Title, Label: d.Label, Tables: d.Tables[:len(r.Tables)], Notes: d.Notes}},
		{"summary.md", "markdown", d},
	} {
		err := a.save(filepath.Join(dir, out.name), replaced, func(w io.Writer) error {
			if out.format == "markdown" {
				fmt.Fprintf(w, "# %s\n\n", r.Title)
			}
			if err := render.Write(w, out.doc, render.Options{Format: out.format}); err != nil {
				return err
			}
			if out.format == "markdown" {
				for _, f := range d.Figures {
					fmt.Fprintf(w, "\n![%s](%s.svg)\n\n*%s.* %s\n", f.Title, f.Name, f.Title, f.Caption)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return a.plots(d, dir, replaced)
}
