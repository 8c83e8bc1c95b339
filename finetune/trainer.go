package finetune

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune/dataset"
	"github.com/relupath/relupath/finetune/internal/engine"
	"github.com/relupath/relupath/finetune/internal/program"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
)

// Epoch is one line of the log. Losses are means over examples, errors the
// share of examples whose largest logit is not their label's.
type Epoch struct {
	// Epoch counts from 1; 0 is the network before training.
	Epoch int `json:"epoch"`
	// TrainLoss and TrainError are means over the epoch's batches, each before
	// its step, or those after the epoch with Options.EvalTrain.
	TrainLoss  *float64 `json:"train_loss"`
	TrainError *float64 `json:"train_error"`
	// TrainFullLoss is the loss without truncation, where the loss truncates.
	TrainFullLoss *float64 `json:"train_full_loss,omitempty"`
	TestLoss      *float64 `json:"test_loss"`
	TestError     *float64 `json:"test_error"`
	// PathNorm is log10 ||pi||_p after the epoch; nil where the norm is zero.
	PathNorm *float64 `json:"path_norm_log10"`
	// Drift is, with Options.Conservation, the largest change of ||in||^2 + b^2 - ||out||^2 of
	// a hidden unit since the beginning, over ||in||^2 + b^2 + ||out||^2 then; nil where no
	// unit has this law.
	Drift *float64 `json:"conservation_drift,omitempty"`
	// Seconds is the time of the steps alone; StepsPerSecond is nil where there
	// were none.
	Seconds        float64  `json:"seconds"`
	StepsPerSecond *float64 `json:"steps_per_second"`
}

// Progress tells about the step just done.
type Progress struct {
	// Epoch counts from 1, Step from 1 within the epoch of Steps steps.
	Epoch, Epochs int
	Step, Steps   int
	// BatchLoss is the mean loss of the step's batch, before the step; Loss and
	// Error are the means over the epoch so far.
	BatchLoss, Loss, Error float64
	// StepsPerSecond is the speed of this epoch, Left the time that the rest of
	// the run takes at it, evaluations left out.
	StepsPerSecond float64
	Left           time.Duration
}

// Result is what a run gives.
type Result struct {
	// Net is the network with its trained weights: after the last step, or, where
	// the loss became NaN or infinite, after the last epoch before that.
	Net *dag.Network
	// Best is the network of the epoch with the smallest test error, BestEpoch
	// its number, where Options.Patience asks for it.
	Best      *dag.Network
	BestEpoch int
	// Initial is the network before training on the test data; Epochs what
	// followed, resumed epochs included.
	Initial Epoch
	Epochs  []Epoch
	// Stopped says why the run ended before the last epoch; empty if it did not.
	Stopped string
	// Rate is the step size of the first epoch after normalisation.
	Rate float64
	// Engine names the engine that computed the steps, Loss what was minimised.
	Engine string
	Loss   Loss
}

// DivergedError says that the loss is NaN or infinite. The result that comes
// with it has the last good network.
type DivergedError struct {
	Epoch, Step int
	Loss, Rate  float64
	// Kept is the epoch whose network was kept; 0 is the one before training.
	Kept int
}

func (e *DivergedError) Error() string {
	kept := fmt.Sprintf("the network after epoch %d was kept", e.Kept)
	if e.Kept == 0 {
		kept = "the network is as it was before"
	}
	return fmt.Sprintf("finetune: the loss is %v at step %d of epoch %d with step size %.3g: %s; try a tenth of the step size", e.Loss, e.Step, e.Epoch, e.Rate, kept)
}

// setup is what is trained, on what, and how.
type setup struct {
	net   *dag.Network
	train *dataset.Set
	opt   Options
	what  program.Options
}

// Trainer trains one network on one data set. It is used by one goroutine.
type Trainer struct {
	setup
	// loop is a *loop of the type of the numbers.
	loop interface {
		run(ctx context.Context) (*Result, error)
		warnings() []string
	}
}

// state is where a run is; it is part of a checkpoint.
type state struct {
	// Epoch counts the finished epochs, At the examples done in the next one.
	Epoch int    `json:"epoch"`
	At    int    `json:"at"`
	Step  uint64 `json:"step"`
	// Sum is over the examples of the epoch in progress.
	Sum     engine.Stats `json:"sum"`
	Seconds float64      `json:"seconds"`
	// Factor*2^Exp multiplies the step size.
	Factor     float64 `json:"factor"`
	Exp        int     `json:"exp"`
	Normalized bool    `json:"normalized"`
	Initial    *Epoch  `json:"initial"`
	History    []Epoch `json:"history"`
	BestEpoch  int     `json:"best_epoch"`
}

// valid reports whether a state can be one of a run over so many examples.
func (s *state) valid(examples int) bool {
	return s.Epoch >= 0 && s.At >= 0 && s.At <= examples && len(s.History) == s.Epoch &&
		s.BestEpoch >= 0 && s.BestEpoch <= s.Epoch
}

// New checks that a network can be trained on the data and prepares the training.
// The network must have one input, of as many elements as an example. Errors name
// the option, the layer or the data that does not fit.
func New(net *dag.Network, train *dataset.Set, opt Options) (*Trainer, error) {
	opt, err := opt.complete(train)
	if err != nil {
		return nil, err
	}
	for _, p := range net.Params() {
		if !p.Finite() {
			return nil, fmt.Errorf("finetune: %q has NaN or infinite values: such a network cannot be trained", p.Name)
		}
	}
	t := &Trainer{setup: setup{net: net, train: train, opt: opt}}
	if err := t.resolve(); err != nil {
		return nil, err
	}
	// In float64 where a stored tensor is, else in float32.
	if slices.ContainsFunc(net.Params(), func(p *dag.Param) bool { return p.Type == dag.Float64 }) {
		t.loop, err = newLoop[float64](t.setup)
	} else {
		t.loop, err = newLoop[float32](t.setup)
	}
	return t, err
}

// resolve finds what the names in the options stand for, and checks the data.
func (t *setup) resolve() error {
	node, err := Scores(t.net, t.train, t.opt.Output)
	if err != nil {
		return err
	}
	out := &t.net.Nodes[node]
	if out.Zone == dag.Head {
		return optionf("%s is a function that is not trained through: name the layer before it whose value feeds the loss: %s",
			out.Label(), labels(t.net, t.net.Feeds(node)))
	}
	t.what = program.Options{Logits: node, Dropout: t.opt.Dropout > 0}
	for _, name := range t.opt.Freeze {
		nodes := slices.DeleteFunc(t.net.Find(name), func(i int) bool {
			for range t.net.Nodes[i].Uses() {
				return false
			}
			return true
		})
		if len(nodes) == 0 {
			return optionf("there is no layer %q with weights to freeze: the layers are %s", name,
				strings.Join(lists.Map(t.net.Layers(), func(i int) string { return t.net.Nodes[i].Ref() }), ", "))
		}
		t.what.Freeze = append(t.what.Freeze, nodes...)
	}
	slices.Sort(t.what.Freeze)
	t.what.Freeze = slices.Compact(t.what.Freeze)
	test := t.opt.Test
	if test == nil {
		return nil
	}
	if test.Task() != t.train.Task() {
		return fmt.Errorf("finetune: %s has %s labels, the training data %s", test.Name(), test.Task(), t.train.Task())
	}
	return cmp.Or(fitsInput(t.net, test), fitsScores(t.net, test, node))
}

// Scores is the node whose value feeds the loss: see the function Scores.
func (t *Trainer) Scores() int { return t.what.Logits }

// Warnings are sentences about tensors that are not trained though they were
// not frozen.
func (t *Trainer) Warnings() []string { return t.loop.warnings() }

// Run trains until the last epoch, until Patience is exhausted, until ctx ends
// or until the loss is NaN or infinite. When ctx ends, Run finishes the step,
// writes the checkpoint and returns the result so far with ctx.Err(). A
// *DivergedError comes with the last good network; an error of the checkpoint
// file or of Options.Log with what was trained so far. If the run could not
// begin, there is no result. Run can be called once.
func (t *Trainer) Run(ctx context.Context) (*Result, error) { return t.loop.run(ctx) }

func (t *loop[T]) warnings() []string { return t.prog.Warnings }

func (t *loop[T]) run(ctx context.Context) (*Result, error) {
	defer t.close()
	unlock, err := t.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := t.begin(ctx); err != nil {
		return nil, err
	}
	stopped, err := t.epochs(ctx)
	res := &Result{
		Initial: *t.state.Initial, Epochs: t.state.History, Stopped: stopped, BestEpoch: t.state.BestEpoch,
		Rate: math.Ldexp(t.opt.Rate*t.state.Factor, t.state.Exp), Engine: t.eng.Name(), Loss: t.opt.Loss,
	}
	var diverged *DivergedError
	lost := t.eng.Sync()
	if lost != nil {
		err = errors.Join(err, lost)
	}
	switch {
	case !errors.As(err, &diverged) && lost == nil && t.finite():
		res.Net = t.prog.Network(nil)
	case t.good == nil:
		res.Net = t.net
	default:
		res.Net = t.prog.Network(t.good)
	}
	if t.best != nil {
		res.Best = t.prog.Network(t.best)
	}
	return res, err
}

// begin resumes, or prepares the first step.
func (t *loop[T]) begin(ctx context.Context) error {
	if t.opt.Resume {
		if err := cmp.Or(t.restore(), t.eng.Load()); err != nil {
			return err
		}
		for _, e := range t.state.History {
			if err := t.log(e); err != nil {
				return err
			}
		}
	}
	if t.state.Epoch > 0 {
		t.good = t.keep(t.good)
	}
	if t.state.Initial == nil {
		e := Epoch{}
		if err := t.test(ctx, &e); err != nil {
			return err
		}
		t.state.Initial = &e
	}
	if t.opt.Normalize == NormalizeOn && !t.state.Normalized {
		order := t.train.Order(t.opt.Seed, 0)
		f, exp, err := t.normalize(ctx, order[:min(t.opt.Batch, len(order))])
		if err != nil {
			return err
		}
		t.state.Factor, t.state.Exp, t.state.Normalized = f, exp, true
	}
	return nil
}

// number returns a pointer to x, nil where it is no number.
func number(x float64) *float64 {
	if x-x != 0 {
		return nil
	}
	return &x
}

func (t *loop[T]) epochs(ctx context.Context) (stopped string, err error) {
	for t.state.Epoch < t.opt.Epochs {
		if t.opt.Patience > 0 && t.state.Epoch-t.state.BestEpoch >= t.opt.Patience {
			return fmt.Sprintf("the test error has not fallen for %s", words.Count(t.opt.Patience, "epoch")), nil
		}
		if err := t.epoch(ctx); err != nil {
			if ctx.Err() == nil {
				return "", err
			}
			return "interrupted", errors.Join(ctx.Err(), t.save())
		}
	}
	return "", nil
}

// epoch does the steps of one epoch, or what is left of them, and what follows.
func (t *loop[T]) epoch(ctx context.Context) error {
	s, n := &t.state, t.train.Len()
	order := t.train.Order(t.opt.Seed, s.Epoch)
	rate := t.opt.rateAt(s.Epoch)
	t.rule.Eta, t.rule.EtaExp, t.rule.Eta0, t.rule.Mu = rate*s.Factor, s.Exp, rate, t.opt.momentumAt(s.Epoch)
	for s.At < n {
		if err := ctx.Err(); err != nil {
			return err
		}
		end := min(s.At+t.opt.Batch, n)
		start := time.Now()
		b := t.load(t.train, order[s.At:end])
		b.Seed, b.Step = t.opt.Seed, s.Step
		stats, err := t.eng.Step(b)
		if err != nil {
			return err
		}
		s.Seconds += time.Since(start).Seconds()
		if !stats.Finite() {
			return t.diverged(s.At/t.opt.Batch+1, stats.Loss/float64(max(stats.N, 1)))
		}
		s.Sum.Add(stats)
		s.At, s.Step = end, s.Step+1
		if t.opt.Progress != nil {
			t.opt.Progress(t.progress(stats))
		}
	}
	return t.finish(ctx)
}

// diverged is the error for a loss at a step of the epoch in progress.
func (t *loop[T]) diverged(step int, loss float64) error {
	s := &t.state
	rate := math.Ldexp(t.opt.rateAt(s.Epoch)*s.Factor, s.Exp)
	return &DivergedError{Epoch: s.Epoch + 1, Step: step, Loss: loss, Rate: rate, Kept: s.Epoch}
}

// steps is the number of batches that so many examples make.
func (t *loop[T]) steps(examples int) int { return (examples + t.opt.Batch - 1) / t.opt.Batch }

func (t *loop[T]) progress(stats engine.Stats) Progress {
	s := &t.state
	steps := t.steps(t.train.Len())
	p := Progress{
		Epoch: s.Epoch + 1, Epochs: t.opt.Epochs, Step: t.steps(s.At), Steps: steps,
		BatchLoss: stats.Loss / float64(stats.N), Loss: s.Sum.Loss / float64(s.Sum.N), Error: float64(s.Sum.Wrong) / float64(s.Sum.N),
	}
	p.StepsPerSecond = float64(p.Step) / s.Seconds
	left := float64((t.opt.Epochs-s.Epoch)*steps-p.Step) / p.StepsPerSecond
	p.Left = time.Duration(left * float64(time.Second))
	return p
}

// finish evaluates after an epoch, logs it, and keeps what must be kept.
func (t *loop[T]) finish(ctx context.Context) error {
	s := &t.state
	if err := t.eng.Sync(); err != nil {
		return err
	}
	if !t.finite() {
		return t.diverged(t.steps(s.At), math.NaN())
	}
	e := Epoch{Epoch: s.Epoch + 1, Seconds: s.Seconds}
	if s.Seconds > 0 {
		e.StepsPerSecond = number(float64(t.steps(t.train.Len())) / s.Seconds)
	}
	sum := s.Sum
	if t.opt.EvalTrain {
		var err error
		if sum, err = t.evaluate(ctx, t.train); err != nil {
			return err
		}
	}
	e.TrainLoss, e.TrainError = t.means(sum)
	if t.opt.Loss == TruncatedSoftmax {
		e.TrainFullLoss = number(sum.Full / float64(sum.N))
	}
	if err := t.test(ctx, &e); err != nil {
		return err
	}
	if t.opt.Conservation {
		e.Drift = drift(t.net, t.prog.Network(nil))
	}
	s.Epoch, s.At, s.Sum, s.Seconds = s.Epoch+1, 0, engine.Stats{}, 0
	s.History = append(s.History, e)
	if t.opt.Patience > 0 && t.better(&e) {
		s.BestEpoch = e.Epoch
		t.best = t.keep(t.best)
	}
	t.good = t.keep(t.good)
	if err := t.save(); err != nil {
		return err
	}
	return t.log(e)
}

func (t *loop[T]) log(e Epoch) error {
	if t.opt.Log == nil {
		return nil
	}
	return t.opt.Log(e)
}

// better tells whether an epoch beats the best one so far, or what was before.
func (t *loop[T]) better(e *Epoch) bool {
	of := func(e *Epoch) float64 {
		if x := cmp.Or(e.TestError, e.TestLoss); x != nil {
			return *x
		}
		return math.Inf(1)
	}
	return t.state.BestEpoch == 0 || of(e) < of(&t.state.History[t.state.BestEpoch-1])
}

// test takes the path norm and evaluates on the test data.
func (t *loop[T]) test(ctx context.Context, e *Epoch) error {
	e.PathNorm = number(t.geo.Log10Norm())
	if t.opt.Test == nil {
		return nil
	}
	sum, err := t.evaluate(ctx, t.opt.Test)
	if err != nil {
		return err
	}
	e.TestLoss, e.TestError = t.means(sum)
	return nil
}

func (t *loop[T]) means(s engine.Stats) (loss, wrong *float64) {
	if s.N == 0 {
		return nil, nil
	}
	loss = number(s.Loss / float64(s.N))
	if t.train.Task() == dataset.Classification {
		wrong = number(float64(s.Wrong) / float64(s.N))
	}
	return loss, wrong
}
