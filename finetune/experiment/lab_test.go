package experiment

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune"
)

// trainings are a few short trainings on small data.
func trainings(l *Lab, epochs int) []*Training {
	var list []*Training
	for seed := range uint64(3) {
		for _, m := range []finetune.Optimizer{finetune.PathSGD, finetune.SGD} {
			list = append(list, l.describe(Training{
				Start: Start{Widths: []int{4, 6, 3}, Seed: seed}, Optimizer: m, Rate: 0.05,
				Normalize: finetune.NormalizeOff, Loss: finetune.Softmax, Batch: 10, Epochs: epochs, Seed: seed,
			}))
		}
	}
	return list
}

// timeless compares records apart from the clock.
var timeless = cmp.Options{
	cmpopts.IgnoreFields(Record{}, "Seconds"),
	cmpopts.IgnoreFields(finetune.Epoch{}, "Seconds", "StepsPerSecond"),
	cmpopts.IgnoreUnexported(Start{}),
}

// TestInterruptedTrainingsResume: trainings that were interrupted in the middle
// of an epoch end with the same numbers, to the bit, as trainings that were not,
// and leave no checkpoint behind.
func TestInterruptedTrainingsResume(t *testing.T) {
	set := clouds(t)
	whole := &Lab{Dir: t.TempDir(), Train: set, Test: set, Threads: 2}
	want, err := whole.run(context.Background(), trainings(whole, 20))
	if err != nil {
		t.Fatal(err)
	}
	split := &Lab{Dir: t.TempDir(), Train: set, Test: set, Threads: 1}
	ctx, stop := context.WithCancel(context.Background())
	ended := 0
	split.Progress = func(Progress) {
		if ended++; ended == 3 {
			stop()
		}
	}
	if _, err := split.run(ctx, trainings(split, 20)); !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %v", err)
	}
	done, err := filepath.Glob(filepath.Join(split.Dir, "*.json"))
	if err != nil || len(done) != 3 {
		t.Fatalf("%d records after the interruption, want 3", len(done))
	}
	old, err := os.Stat(done[0])
	if err != nil {
		t.Fatal(err)
	}
	split.Progress = nil
	got, err := split.run(context.Background(), trainings(split, 20))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, timeless); diff != "" {
		t.Error(diff)
	}
	if again, err := os.Stat(done[0]); err != nil || !again.ModTime().Equal(old.ModTime()) {
		t.Errorf("a finished training was run again: %v", err)
	}
	files, err := os.ReadDir(split.Dir)
	if err != nil || len(files) != 6 {
		t.Errorf("%d files are left, want 6 records: %v", len(files), err)
	}
}

// TestCheckpointOfTraining: a training in progress keeps a checkpoint.
func TestCheckpointOfTraining(t *testing.T) {
	set := clouds(t)
	l := &Lab{Dir: t.TempDir(), Train: set, Threads: 1}
	list := trainings(l, 1<<20)[:1]
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		defer stop()
		for {
			if _, err := os.Stat(filepath.Join(l.Dir, list[0].key(), finetune.CheckpointName)); err == nil {
				return
			}
		}
	}()
	if _, err := l.run(ctx, list); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(l.Dir, list[0].key(), finetune.CheckpointName)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(l.path(list[0].key())); err == nil {
		t.Error("an unfinished training has a record")
	}
}

// TestKeysTellTrainingsApart: every change of a description changes its record.
func TestKeysTellTrainingsApart(t *testing.T) {
	set := clouds(t)
	l := &Lab{Train: set, Test: set}
	base := *trainings(l, 5)[0]
	seen := map[string]string{base.key(): "nothing"}
	other := &Lab{Train: set.Subset([]int{0, 1, 2}), Test: set}
	for name, change := range map[string]func(t *Training){
		"rate":    func(t *Training) { t.Rate *= 2 },
		"epochs":  func(t *Training) { t.Epochs++ },
		"seed":    func(t *Training) { t.Seed++ },
		"start":   func(t *Training) { t.Start.Seed++ },
		"widths":  func(t *Training) { t.Start.Widths = []int{4, 7, 3} },
		"rescale": func(t *Training) { t.Start.Rescale = append(t.Start.Rescale, Random) },
		"dropout": func(t *Training) { t.Dropout = 0.5 },
		"data":    func(t *Training) { *t = *other.describe(*t) },
	} {
		c := base
		change(&c)
		if same, ok := seen[c.key()]; ok {
			t.Errorf("a change of %s gives the key of a change of %s", name, same)
		}
		seen[c.key()] = name
	}
	if again := trainings(l, 5)[0]; again.key() != base.key() {
		t.Error("the same training has two keys")
	}
}

func TestDivergedTrainingIsRecorded(t *testing.T) {
	set := clouds(t)
	l := &Lab{Dir: t.TempDir(), Train: set, Test: set}
	list := trainings(l, 5)[1:2]
	list[0].Rate = 1e30
	r, err := l.run(context.Background(), list)
	if err != nil {
		t.Fatal(err)
	}
	if r[0].Stopped == "" || !math.IsInf(objective(r[0]), 1) {
		t.Errorf("stopped %q, objective %v", r[0].Stopped, objective(r[0]))
	}
}

func TestDamagedRecordIsNamed(t *testing.T) {
	set := clouds(t)
	l := &Lab{Dir: t.TempDir(), Train: set, Test: set}
	list := trainings(l, 1)[:1]
	if err := os.WriteFile(l.path(list[0].key()), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := l.run(context.Background(), list); err == nil || !strings.Contains(err.Error(), list[0].key()) {
		t.Errorf("%v", err)
	}
}

// TestStepSizeIsChosenByTrainingLoss: of the grid the rate with the smallest
// training loss is taken, and its trainings are those of the first seed.
func TestStepSizeIsChosenByTrainingLoss(t *testing.T) {
	set := clouds(t)
	l := &Lab{Dir: t.TempDir(), Train: set, Test: set}
	done, err := compare(context.Background(), l, []string{"a"}, grid{rates: []float64{1e-6, 0.3, 1e30}, epochs: 5, choose: 5, seeds: 2, seed: 3},
		func(_ string, rate float64, epochs int, seed uint64) *Training {
			return l.describe(Training{
				Start: Start{Widths: []int{4, 6, 3}, Seed: seed}, Optimizer: finetune.SGD, Rate: rate,
				Loss: finetune.Softmax, Batch: 10, Epochs: epochs, Seed: seed,
			})
		})
	if err != nil {
		t.Fatal(err)
	}
	c := done[0]
	if c.rate != 0.3 || c.edge || len(c.records) != 2 || c.records[1].Training.Seed != 4 {
		t.Errorf("rate %v, edge %v, %d records", c.rate, c.edge, len(c.records))
	}
}

func TestCurves(t *testing.T) {
	num := func(x float64) *float64 { return &x }
	record := func(errs ...float64) *Record {
		r := &Record{}
		for i, e := range errs {
			r.Epochs = append(r.Epochs, finetune.Epoch{Epoch: i + 1, TestError: num(e), TrainLoss: num(e), Seconds: 2})
		}
		return r
	}
	both := []*Record{record(0.5, 0.25, 0.75), record(0.25, 0.25)}
	want := Curve{Key: 7, X: []float64{2, 4}, Y: []float64{37.5, 25}, Lo: []float64{25, 25}, Hi: []float64{50, 25}}
	if diff := cmp.Diff(want, byTime(both, 7, testError)); diff != "" {
		t.Error(diff)
	}
	if d := farthest(both, []*Record{record(0.25, 0.5)}, testError); d != 25 {
		t.Errorf("farthest: %v", d)
	}
	if d := farthest(both, []*Record{record(0.25)}, testError); !math.IsInf(d, 1) {
		t.Errorf("farthest of different lengths: %v", d)
	}
	if v := lowest(both[0], testError); v != 25 {
		t.Errorf("lowest: %v", v)
	}
	if v := last(both[0], testError); v != 75 {
		t.Errorf("last: %v", v)
	}
	if s := summarise(nil); !math.IsNaN(s.Mean) {
		t.Errorf("summary of nothing: %v", s)
	}
	if s := summarise([]float64{1, math.NaN()}); !math.IsNaN(s.Mean) || !math.IsNaN(s.Min) {
		t.Errorf("summary with a NaN: %v", s)
	}
}

// TestDigests: networks and data that differ in one number, or in a layer, have
// records of their own.
func TestDigests(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range []struct {
		typ  dag.DType
		seed uint64
		bias finetune.BiasStart
	}{{dag.Float32, 1, 0}, {dag.Float32, 2, 0}, {dag.Float64, 1, 0}, {dag.Float32, 1, finetune.BiasNone}} {
		n, err := finetune.Fresh(context.Background(), []int{4, 6, 3}, finetune.FreshOptions{Type: o.typ, Seed: o.seed, Bias: o.bias})
		if err != nil {
			t.Fatal(err)
		}
		seen[digestNetwork(n)] = true
	}
	set := clouds(t)
	order := make([]int, set.Len())
	for i := range order {
		order[i] = i
	}
	whole := digest(set)
	if again := digest(set.Subset(order)); again != whole {
		t.Errorf("%s of the same examples, %s", again, whole)
	}
	order[1], order[2] = order[2], order[1]
	if digest(set.Subset(order)) == whole {
		t.Error("other examples have the same digest")
	}
	if len(seen) != 4 {
		t.Errorf("4 networks have %d digests", len(seen))
	}
}

// TestPanicIsTheCallers: a panic of one training ends the others and is the caller's.
func TestPanicIsTheCallers(t *testing.T) {
	l := &Lab{Dir: t.TempDir(), Train: clouds(t), Threads: 2}
	list := trainings(l, 5)
	bad := *list[0]
	bad.Start.Widths = []int{4} // no network
	defer func() {
		if r := fmt.Sprint(recover()); !strings.Contains(r, "inputs and outputs") {
			t.Errorf("got %s, want the panic of the training", r)
		}
	}()
	_, err := l.run(context.Background(), append(list, &bad))
	t.Errorf("no panic, error %v", err)
}
