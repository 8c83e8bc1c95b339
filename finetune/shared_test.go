package finetune_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune"
	"github.com/relupath/relupath/finetune/dataset"
	"github.com/relupath/relupath/internal/outfile"
)

// TestCheckpointIsOfOneRun: a checkpoint's folder has one process at a time, and
// a run goes on with its own data alone, whatever their names.
func TestCheckpointIsOfOneRun(t *testing.T) {
	dir, ctx := t.TempDir(), context.Background()
	text := "1,0,0,1,0\n0,1,0,1,1\n0,0,1,1,2\n"
	first, again, other := csv(t, text), csv(t, text), csv(t, strings.Replace(text, "0,0,1,1,2", "0,0,1,1.5,2", 1))
	run := func(train, test *dataset.Set, opt finetune.Options) error {
		opt.Checkpoint, opt.Test, opt.Batch = dir, test, 2
		trainer, err := finetune.New(small(dag.Float32), train, opt)
		if err != nil {
			t.Fatal(err)
		}
		_, err = trainer.Run(ctx)
		return err
	}
	unlock, err := outfile.Lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	var inUse *outfile.InUseError
	if err := run(first, nil, finetune.Options{Epochs: 1}); !errors.As(err, &inUse) {
		t.Errorf("a folder in use: %v", err)
	}
	unlock()
	if err := run(first, first, finetune.Options{Epochs: 1}); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(filepath.Join(dir, finetune.CheckpointName))
	if err != nil {
		t.Fatal(err)
	}
	for want, err := range map[string]error{
		"other data":      run(other, first, finetune.Options{Epochs: 2, Resume: true}),
		"other test data": run(first, other, finetune.Options{Epochs: 2, Resume: true}),
		"patience":        run(first, first, finetune.Options{Epochs: 2, Resume: true, Patience: 1}),
		"training loss":   run(first, first, finetune.Options{Epochs: 2, Resume: true, EvalTrain: true}),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	if after, err := os.ReadFile(filepath.Join(dir, finetune.CheckpointName)); err != nil || string(after) != string(before) {
		t.Errorf("a refused run writes the checkpoint: %v", err)
	}
	var logged []int
	if err := run(again, first, finetune.Options{Epochs: 3, Resume: true, Log: func(e finetune.Epoch) error {
		logged = append(logged, e.Epoch)
		return nil
	}}); err != nil || len(logged) != 3 {
		t.Errorf("resumed: %v, epochs %v in the log", err, logged)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 1 {
		t.Errorf("the folder has %v, %v", names, err)
	}
}
