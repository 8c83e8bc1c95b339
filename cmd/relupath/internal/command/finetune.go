package command

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/relupath/relupath/finetune"
	"github.com/relupath/relupath/finetune/dataset"
	"github.com/relupath/relupath/internal/lists"
)

type finetuneOptions struct {
	modelFlags
	opt             finetune.Options
	data, test      string
	optimizer, loss string
	device          string
	normalize       bool
	log             string
	report          string
	output          string

	// old is what becomes of the files of a run before.
	old   existing
	train *dataset.Set
	// continues says that there is a checkpoint to go on from.
	continues bool
	logFile   *os.File
	logged    map[string]bool // the lines that it has
	unheard   bool            // nobody reads it
}

func (a *app) finetune() *cobra.Command {
	o := &finetuneOptions{}
	cmd := &cobra.Command{
		Use:   "finetune MODEL --data SPEC -o OUT",
		Short: "Continue training with Path-SGD or another optimizer, and export",
		Long: `finetune trains a model on labelled examples and writes it back: the same graph,
names, types and head with new weights. What enters the head (the logits before a
softmax, or the output) feeds the loss; the preamble and the statistics of
BatchNormalization stay as they are.

path-sgd, the default, divides each derivative by kappa = (g_in g_out)^(2/p), so
that training does not depend on how the units of the model are scaled. With
--normalize-step, on by default for path-sgd, --lr is relative to the step that
plain SGD could take on the balanced model: 0.2 suits fresh models, a tenth of it
trained ones. Step sizes of different optimizers are not comparable. Without --lr:
0.2 for path-sgd, 0.1 for sgd, 0.01 for adagrad and path-adagrad.

Losses are means over examples: softmax cross-entropy; truncated-softmax, in
which an example whose margin exceeds --truncate-margin has no part; squared,
half the squared distance to the targets or to the class's unit vector. Class
labels get softmax by default, other targets squared. A model with one score for
the classes 0 and 1 has the logits 0 and the score: softmax is the logistic loss,
and squared compares the score with -1 and 1.

An interrupt (Ctrl-C) finishes the step, writes the checkpoint and the model and
exits with 130; with --checkpoint, the same command with --resume goes on to the
same bits as a run that was never interrupted (same options and seed). When the loss becomes NaN or
infinite, the model of the last sound epoch is written and the exit code is 1.`,
		Example: `  relupath finetune iris.onnx --data csv:iris.csv,header -o tuned.onnx --epochs 5 --lr 0.01
  relupath finetune iris.onnx --data csv:iris.csv,header --test csv:iris.csv,header -o sgd.onnx --optimizer sgd --momentum 0.9 --lr 0.001
  relupath finetune iris.onnx --data csv:iris.csv,header -o safe.onnx --lr 0.01 --checkpoint state --resume --log log.jsonl`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			given := cmd.Flags().Changed
			if err := o.zeros(given); err != nil {
				return err
			}
			switch {
			case !given("normalize-step"):
			case o.normalize:
				o.opt.Normalize = finetune.NormalizeOn
			default:
				o.opt.Normalize = finetune.NormalizeOff
			}
			return o.run(cmd.Context(), a, args[0])
		},
	}
	o.flags(cmd)
	return cmd
}

func (o *finetuneOptions) flags(cmd *cobra.Command) {
	o.add(cmd)
	f, opt := cmd.Flags(), &o.opt
	f.StringVar(&o.data, "data", "", "examples to train on, such as mnist:DIR or csv:FILE,header; see docs/cli.md")
	f.StringVar(&o.test, "test", "", "examples to evaluate on after each epoch; of the test split unless it names one")
	addModelFile(cmd, &o.output)
	addChoice(cmd, &o.optimizer, "optimizer", "the method", names(finetune.Optimizers())...)
	f.Float64Var(&opt.P, "p", 2, "order of the path geometry, finite and at least 1")
	f.Float64Var(&opt.Rate, "lr", 0, "step size (default by optimizer)")
	f.Float64Var(&opt.RateDecay, "lr-decay", 1, "factor of the step size after each epoch")
	f.BoolVar(&o.normalize, "normalize-step", false, "make --lr relative to the balanced model's step (default for path-sgd; =false turns it off)")
	f.Float64Var(&opt.Momentum, "momentum", 0, "coefficient m of the heavy ball v = m v + lr d, w -= v")
	f.Float64Var(&opt.MomentumRise, "momentum-rise", 0, "what the coefficient rises by after each epoch")
	f.Float64Var(&opt.MomentumMax, "momentum-max", 0, "what it rises to; wanted by --momentum-rise")
	f.IntVar(&opt.Batch, "batch", 100, "examples a step")
	f.IntVar(&opt.Epochs, "epochs", 10, "passes over the data")
	f.IntVar(&opt.Patience, "patience", 0, "end after so many epochs without a smaller test error, and write the best epoch's model")
	addChoice(cmd, &o.loss, "loss", "what is minimised; auto goes by the labels", append([]string{"auto"}, names(finetune.Losses())...)...)
	f.Float64Var(&opt.Margin, "truncate-margin", finetune.DefaultMargin, "threshold of truncated-softmax")
	f.Float64Var(&opt.Dropout, "dropout", 0, "probability that a step leaves a hidden unit out")
	f.Float64Var(&opt.WeightDecay, "weight-decay", 0, "lambda of the decoupled decay w -= lr lambda w")
	f.Float64Var(&opt.PathPenalty, "path-penalty", 0, "mu of the penalty (mu/p) ||pi||_p^p")
	f.Float64Var(&opt.MaxNorm, "max-norm", 0, "bound of the p-norm of each unit's incoming weights, biases left out (default: none)")
	f.BoolVar(&opt.KeepZeros, "keep-zeros", false, "weights that are zero stay zero: for pruned models")
	f.BoolVar(&opt.Conservation, "conservation", false, "log how far ||in||^2 + b^2 - ||out||^2 of a unit has moved, which gradient flow keeps")
	f.StringSliceVar(&opt.Freeze, "freeze", nil, "layers that keep their weights")
	f.StringVar(&opt.Output, "train-output", "", "output or layer that feeds the loss, where the model has several")
	f.BoolVar(&opt.EvalTrain, "eval-train", false, "log the training loss and error after the epoch, not the means over its batches")
	addChoice(cmd, &o.device, "device", "where; gpu needs the build with CUDA, see docs/gpu.md", names(finetune.Devices())...)
	f.StringVar(&o.log, "log", "", "write a line of JSON an epoch to a file; - is standard error")
	f.StringVar(&opt.Checkpoint, "checkpoint", "", "folder in which the state of the run is kept")
	f.BoolVar(&opt.Resume, "resume", false, "continue from the checkpoint, if there is one")
	f.StringVar(&o.report, "report", "", "write the report to a file")
}

// zeros finds numbers that the library would take for the default when they are
// 0, and flags that have no part in the run.
func (o *finetuneOptions) zeros(given func(name string) bool) error {
	for _, c := range []struct {
		name string
		v    float64
	}{{"lr", o.opt.Rate}, {"lr-decay", o.opt.RateDecay}, {"p", o.opt.P}} {
		if given(c.name) && c.v == 0 {
			return usagef("--%s 0: want a positive number", c.name)
		}
	}
	switch {
	case !given("truncate-margin"):
	case finetune.Loss(o.loss) != finetune.TruncatedSoftmax:
		return usagef("--truncate-margin is the threshold of --loss truncated-softmax: give that loss too")
	case o.opt.Margin == 0:
		o.opt.Margin = math.SmallestNonzeroFloat64 // above the same margins as 0
	}
	return nil
}

// checkDevice looks for the GPU before anything is read. A build without CUDA is
// wrong usage, a machine without a GPU is not.
func (o *finetuneOptions) checkDevice() error {
	if finetune.Device(o.device) != finetune.GPU {
		return nil
	}
	_, err := finetune.FindGPU()
	switch {
	case err == nil:
		return nil
	case !finetune.HasCUDA:
		return usagef("--device gpu: %w", err)
	}
	return fmt.Errorf("--device gpu: %w", err)
}

// names converts words of any string type.
func names[T ~string](list []T) []string {
	return lists.Map(list, func(s T) string { return string(s) })
}

// check finds wrong usage before anything is read.
func (o *finetuneOptions) check(a *app) error {
	switch {
	case o.data == "":
		return usagef("finetune: give the examples with --data")
	case o.output == "":
		return usagef("finetune: give the model to write with -o")
	case o.opt.Resume && o.opt.Checkpoint == "":
		return usagef("--resume: give the folder with --checkpoint")
	case o.opt.Epochs < 1:
		return usagef("--epochs %d: want at least 1", o.opt.Epochs)
	case o.opt.Batch < 1:
		return usagef("--batch %d: want at least 1", o.opt.Batch)
	case o.opt.Patience > 0 && o.test == "":
		return usagef("--patience: give test data with --test")
	}
	if err := o.checkDevice(); err != nil {
		return err
	}
	if err := distinct(o.output, o.report, o.log); err != nil {
		return err
	}
	if err := a.vacantAll(o.old, o.output, o.report, o.log); err != nil {
		return err
	}
	return o.vacantCheckpoint(a)
}

// vacantCheckpoint refuses to write over the checkpoint of another run. The folder may be
// missing: it is made when there is something to train.
func (o *finetuneOptions) vacantCheckpoint(a *app) error {
	if o.opt.Checkpoint == "" || o.opt.Resume {
		return nil
	}
	if _, err := os.Stat(o.opt.Checkpoint); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return a.vacant(filepath.Join(o.opt.Checkpoint, finetune.CheckpointName), o.old)
}

// goesOn tells whether there is a checkpoint to resume.
func (o *finetuneOptions) goesOn() bool {
	if !o.opt.Resume || o.opt.Checkpoint == "" {
		return false
	}
	_, err := os.Stat(filepath.Join(o.opt.Checkpoint, finetune.CheckpointName))
	return err == nil
}

func (o *finetuneOptions) run(ctx context.Context, a *app, path string) error {
	o.old = a.existing()
	if o.continues = o.goesOn(); o.continues {
		// The files of the first part are the run's own. A checkpoint of another
		// run is refused before anything is written.
		o.old = replaced
	}
	if err := o.check(a); err != nil {
		return err
	}
	defer func() {
		if o.logFile != nil {
			_ = o.logFile.Close()
		}
	}()
	data := a.newSetReader(ctx, o.data, dataset.Options{DefaultSplit: dataset.Train})
	o.sample = data.sample
	return a.withFinite(ctx, path, &o.modelFlags, "train", func(m *modelFile) error {
		if err := a.vacantModel(m, o.output, o.old); err != nil {
			return err
		}
		if err := o.load(ctx, a, m, data); err != nil {
			return err
		}
		return o.work(ctx, a, m, path)
	})
}

// load reads the data and completes the options.
func (o *finetuneOptions) load(ctx context.Context, a *app, m *modelFile, data setReader) error {
	var err error
	if o.train, o.opt.Test, err = a.readSets(ctx, m, data, o.test); err != nil {
		return err
	}
	if names := o.train.ClassNames(); names != nil {
		m.SetClasses(names) // so that later evaluations of the result number the labels alike
	}
	o.opt.Output = layerOf(m, o.opt.Output)
	for i, name := range o.opt.Freeze {
		o.opt.Freeze[i] = layerOf(m, name)
	}
	o.opt.Optimizer, o.opt.Device = finetune.Optimizer(o.optimizer), finetune.Device(o.device)
	if o.loss != "auto" {
		o.opt.Loss = finetune.Loss(o.loss)
	}
	o.opt.Bias, o.opt.Seed, o.opt.Threads = a.biasPolicy(), a.seed, a.threads
	o.opt.Log = func(e finetune.Epoch) error { return o.logLine(a, e) }
	return nil
}

// work trains, writes the model and reports. A run that was interrupted or that
// lost its loss still writes what it has.
func (o *finetuneOptions) work(ctx context.Context, a *app, m *modelFile, path string) error {
	a.stage(path, "training")
	o.opt.Progress = func(p finetune.Progress) {
		a.keep()
		a.trained(path, p)
	}
	t, err := finetune.New(m.Net, o.train, o.opt)
	switch {
	case has[*finetune.OptionError](err):
		return &usageError{err}
	case has[*finetune.GPUError](err):
		return err
	case err != nil:
		return &dataError{err}
	}
	at := &scoring{set: o.train, node: t.Scores(), width: m.Net.Nodes[t.Scores()].Len(), name: m.Net.Nodes[t.Scores()].Ref()}
	if err := at.compare(ctx, m); err != nil {
		return err
	}
	for _, w := range append(t.Warnings(), at.warnings...) {
		a.warn("%s: %s", path, w)
	}
	if o.opt.Checkpoint != "" {
		if err := os.MkdirAll(o.opt.Checkpoint, 0o777); err != nil {
			return fmt.Errorf("--checkpoint: %w", err)
		}
	}
	if err := o.vacantCheckpoint(a); err != nil {
		return err
	}
	began := time.Now()
	res, err := t.Run(ctx)
	if res == nil {
		return err
	}
	net := res.Net
	if res.Best != nil {
		net = res.Best
	}
	if lost, ok := errors.AsType[*finetune.DivergedError](err); !ok || lost.Kept > 0 {
		if e := a.saveModel(m, net, o.output, o.old); e != nil {
			return errors.Join(err, e)
		}
		if o.output != stdStream && ctx.Err() == nil {
			if e := a.otherShapes(ctx, path, o.output, &o.modelFlags, nil); e != nil {
				a.warn("%s: %v", o.output, e)
			}
		}
	}
	r := newFinetuneJSON(o, m, path, at.name, res, err, time.Since(began))
	d := finetuneDocument(r)
	if o.report != "" {
		return errors.Join(err, a.report(d, o.report, o.old))
	}
	return errors.Join(err, a.reportBeside(o.output, d))
}

// logLine writes one epoch to the log. A resumed run gives the epochs before it
// again: those that the log has are left out, so that the one that a kill kept
// from it is written now.
func (o *finetuneOptions) logLine(a *app, e finetune.Epoch) error {
	if o.log == "" {
		return nil
	}
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if o.log == stdStream {
		_, err = a.err.Write(append(line, '\n'))
	} else {
		if o.logFile == nil {
			err = o.openLog(a)
		}
		if err == nil && !o.logged[string(line)] && !o.unheard {
			var taken bool
			if taken, err = a.offer(o.logFile, append(line, '\n')); !taken {
				o.unheard = true
				a.warn("--log: nobody reads %s: the lines from epoch %d on are left out", o.log, e.Epoch)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("--log: %w", err)
	}
	return nil
}

// openLog opens the log at its end where a run goes on, and notes its lines. A
// line that was cut off goes.
func (o *finetuneOptions) openLog(a *app) error {
	if err := a.vacant(o.log, o.old); err != nil {
		return err
	}
	mode := os.O_CREATE | os.O_RDWR
	if !o.continues {
		mode |= os.O_TRUNC
	}
	f, err := os.OpenFile(o.log, mode, 0o666)
	if err != nil {
		return err
	}
	o.logFile, o.logged = f, map[string]bool{}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return err
	}
	text, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	whole := bytes.LastIndexByte(text, '\n') + 1
	for line := range bytes.Lines(text[:whole]) {
		o.logged[string(bytes.TrimSpace(line))] = true
	}
	if err := f.Truncate(int64(whole)); err != nil {
		return err
	}
	_, err = f.Seek(int64(whole), io.SeekStart)
	return err
}

// trained shows how far the training is.
func (a *app) trained(path string, p finetune.Progress) {
	if a.status == nil || a.quiet {
		return
	}
	a.status.say(func() string {
		return fmt.Sprintf("%s: training, epoch %d of %d, loss %.4f, error %.2f %%, %.0f steps/s",
			filepath.Base(path), p.Epoch, p.Epochs, p.Loss, 100*p.Error, p.StepsPerSecond)
	})
	a.step((p.Epoch-1)*p.Steps+p.Step, p.Epochs*p.Steps)
}
