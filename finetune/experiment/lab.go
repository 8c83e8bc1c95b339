package experiment

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/analysis/rescale"
	"github.com/relupath/relupath/finetune"
	"github.com/relupath/relupath/finetune/dataset"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/outfile"
)

// Lab is where trainings run. One experiment at a time uses it.
type Lab struct {
	// Dir is the folder in which records and checkpoints are kept; it is made
	// where it does not exist.
	Dir string
	// Train and Test are the examples.
	Train, Test *dataset.Set
	// Threads is the number of trainings that run side by side, each on one
	// thread. Default: runtime.GOMAXPROCS.
	Threads int
	// Progress is called from one goroutine at a time when a training has ended
	// or was found done. Default: nothing is.
	Progress func(Progress)

	digests [2]string
}

// Progress tells how far a batch of trainings is.
type Progress struct {
	Done, Total int
	// Last is the record that came last.
	Last *Record
}

// describe fills in what all trainings of a lab have in common.
func (l *Lab) describe(t Training) *Training {
	if l.digests[0] == "" && l.Train != nil {
		l.digests[0] = digest(l.Train)
		if l.Test != nil {
			l.digests[1] = digest(l.Test)
		}
	}
	t.Data, t.Test = l.digests[0], l.digests[1]
	if t.Steps > 0 {
		// Trajectories are not evaluated.
		t.Test = ""
	}
	return &t
}

// run does the trainings that have no record yet and returns all records in
// the order of the list. When ctx ends, trainings in progress keep their
// checkpoints, and the error is ctx's.
func (l *Lab) run(ctx context.Context, list []*Training) ([]*Record, error) {
	if err := os.MkdirAll(l.Dir, 0o777); err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	records := map[string]*Record{}
	var missing []*Training
	var found []*Record
	for _, t := range list {
		key := t.key()
		if _, ok := records[key]; ok {
			continue
		}
		rec, err := l.read(key)
		if err != nil {
			return nil, err
		}
		records[key] = rec
		if rec == nil {
			missing = append(missing, t)
		} else {
			found = append(found, rec)
		}
	}
	for i, rec := range found {
		l.tell(i+1, len(records), rec)
	}
	// Long trainings first, so that none is left alone at the end.
	slices.SortStableFunc(missing, func(a, b *Training) int { return cmp.Compare(b.cost(), a.cost()) })
	if err := l.work(ctx, missing, records); err != nil {
		return nil, err
	}
	return lists.Map(list, func(t *Training) *Record { return records[t.key()] }), nil
}

func (l *Lab) tell(done, total int, rec *Record) {
	if l.Progress != nil {
		l.Progress(Progress{Done: done, Total: total, Last: rec})
	}
}

// work runs trainings from several goroutines and adds their records. The
// first error ends the others, as does a panic, which is then the caller's.
func (l *Lab) work(ctx context.Context, missing []*Training, records map[string]*Record) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var mu sync.Mutex
	done := len(records) - len(missing)
	kernel.InTurn(len(missing), cmp.Or(l.Threads, runtime.GOMAXPROCS(0)), 1, func(take func() (lo, hi int)) {
		sound := false
		defer func() {
			if !sound {
				stop(context.Canceled)
			}
		}()
		for k, end := take(); k < end && ctx.Err() == nil; k, end = take() {
			rec, err := l.train(ctx, missing[k])
			if err != nil {
				stop(err)
				break
			}
			mu.Lock()
			records[missing[k].key()] = rec
			done++
			l.tell(done, len(records), rec)
			mu.Unlock()
		}
		sound = true
	})
	return context.Cause(ctx)
}

func (l *Lab) path(key string) string { return filepath.Join(l.Dir, key+".json") }

// read returns a record, nil where there is none.
func (l *Lab) read(key string) (*Record, error) {
	text, err := os.ReadFile(l.path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	rec := &Record{}
	if err := json.Unmarshal(text, rec); err != nil {
		return nil, fmt.Errorf("experiment: %s is no record of a training: %w: delete it to run the training again", l.path(key), err)
	}
	return rec, nil
}

// write puts a record in place at once.
func (l *Lab) write(key string, rec *Record) error {
	if err := outfile.Write(l.path(key), func(w io.Writer) error {
		text := json.NewEncoder(w)
		text.SetIndent("", " ")
		return text.Encode(rec)
	}); err != nil {
		return fmt.Errorf("experiment: %w", err)
	}
	return nil
}

// FitError says that a network, the data and the options do not go together. It
// wraps a *finetune.OptionError where the options are to blame.
type FitError struct{ err error }

func (e *FitError) Error() string { return e.err.Error() }
func (e *FitError) Unwrap() error { return e.err }

// train does one training, or what is left of it.
func (l *Lab) train(ctx context.Context, t *Training) (*Record, error) {
	key := t.key()
	net, err := t.Start.network(ctx)
	if err != nil {
		return nil, err
	}
	opt := t.options()
	opt.Threads = 1
	rec := &Record{Training: *t}
	within, stop := context.WithCancel(ctx)
	defer stop()
	if t.Steps > 0 {
		opt.Epochs, opt.EvalTrain = math.MaxInt32, false
		opt.Progress = func(p finetune.Progress) {
			rec.Losses = append(rec.Losses, p.BatchLoss)
			if len(rec.Losses) == t.Steps {
				stop()
			}
		}
	} else {
		opt.Test = l.Test
		opt.Checkpoint, opt.Resume = filepath.Join(l.Dir, key), true
		if err := os.MkdirAll(opt.Checkpoint, 0o777); err != nil {
			return nil, fmt.Errorf("experiment: %w", err)
		}
	}
	trainer, err := finetune.New(net, l.Train, opt)
	if err != nil {
		return nil, &FitError{err}
	}
	res, err := trainer.Run(within)
	var lost *finetune.DivergedError
	switch {
	case errors.As(err, &lost):
		rec.Stopped = fmt.Sprintf("the loss is %v at step %d of epoch %d", lost.Loss, lost.Step, lost.Epoch)
	case t.Steps > 0 && len(rec.Losses) == t.Steps:
	case err != nil:
		return nil, err
	}
	rec.Initial, rec.Epochs, rec.Engine = res.Initial, res.Epochs, res.Engine
	for _, e := range rec.Epochs {
		rec.Seconds += e.Seconds
	}
	if err := rec.measure(ctx, res.Net); err != nil {
		return nil, err
	}
	if err := l.write(key, rec); err != nil {
		return nil, err
	}
	if opt.Checkpoint == "" {
		return rec, nil
	}
	if err := os.RemoveAll(opt.Checkpoint); err != nil {
		return nil, fmt.Errorf("experiment: %w", err)
	}
	return rec, nil
}

// measure takes the measures that the training asks for.
func (r *Record) measure(ctx context.Context, net *dag.Network) error {
	if r.Training.Measures == nil {
		return nil
	}
	rep, err := analysis.Measures(ctx, net, analysis.Options{
		Names: r.Training.Measures, P: []float64{1, 2},
		Groups: []analysis.PQ{{P: 1, Q: math.Inf(1)}, {P: 2, Q: 2}},
	})
	if err != nil {
		return fmt.Errorf("experiment: %w", err)
	}
	r.Measures = map[string]float64{}
	for _, m := range rep.Measures {
		name := m.Name
		switch {
		case m.Q != "":
			name += "(" + m.P + "," + m.Q + ")"
		case m.P != "":
			name += "(" + m.P + ")"
		}
		if v := m.Value.Log10(); m.Defined && !math.IsInf(v, 0) && !math.IsNaN(v) {
			r.Measures[name] = v
		}
	}
	return nil
}

// rescaled returns an equivalent network.
func rescaled(ctx context.Context, net *dag.Network, m rescale.Method, seed uint64) (*dag.Network, error) {
	if m != Random && m != RandomPowers {
		res, err := rescale.Run(ctx, m, net, rescale.Options{Seed: seed, Tolerance: 1e-9})
		if err != nil {
			return nil, err
		}
		return net.Rescale(res.Groups, res.Factors)
	}
	rng := rand.New(rand.NewPCG(seed, 0x72616e646f6d))
	groups := net.Groups()
	c := groups.Ones()
	for i := range c {
		switch {
		case groups.Pin[i] != "":
		case m == Random:
			c[i] = math.Exp(2 * rng.NormFloat64())
		default:
			c[i] = math.Exp2(float64(rng.IntN(21) - 10))
		}
	}
	return net.Rescale(groups, c)
}
