package command

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/finetune"
	"github.com/relupath/relupath/internal/words"
)

// finetuneJSON is the result of finetune, schema relupath.finetune/2.
type finetuneJSON struct {
	Schema string `json:"schema"`
	origin
	Output   string `json:"output"`
	Data     string `json:"data"`
	Examples int    `json:"examples"`
	// Scores is the layer whose values feed the loss, Classes the names of the labels
	// 0, 1..., where the data or the model have names.
	Scores    string   `json:"scores"`
	Classes   []string `json:"classes,omitempty"`
	Optimizer string   `json:"optimizer"`
	P         string   `json:"p"`
	LossName  string   `json:"loss_name"`
	Seed      uint64   `json:"seed"`
	Engine    string   `json:"engine"`
	// Rate is the step size of the first epoch, after normalisation.
	Rate float64 `json:"step_size"`
	// Before is the model as it was, on the test data.
	Before finetune.Epoch   `json:"before"`
	Epochs []finetune.Epoch `json:"epochs"`
	// BestEpoch is the epoch whose model was written, with --patience.
	BestEpoch int `json:"best_epoch,omitempty"`
	// Stopped says why the run ended before its time.
	Stopped string  `json:"stopped,omitempty"`
	Seconds float64 `json:"seconds"`
}

func newFinetuneJSON(o *finetuneOptions, m *modelFile, path, scores string, res *finetune.Result, err error, took time.Duration) *finetuneJSON {
	p := order(o.opt.P)
	r := &finetuneJSON{
		Schema: "relupath.finetune/2", origin: newOrigin(path, m), Output: o.output, Data: o.train.Name(),
		Examples: o.train.Len(), Scores: scores, Classes: o.train.ClassNames(), Optimizer: o.optimizer, P: p.String(), LossName: string(res.Loss), Seed: o.opt.Seed, Engine: res.Engine,
		Rate: res.Rate, Before: res.Initial, Epochs: append([]finetune.Epoch{}, res.Epochs...), BestEpoch: res.BestEpoch, Stopped: res.Stopped, Seconds: took.Seconds(),
	}
	if errors.Is(err, context.Canceled) {
		r.Stopped = fmt.Sprintf("interrupted in epoch %d", min(len(r.Epochs)+1, o.opt.Epochs))
		if o.opt.Checkpoint != "" {
			r.Stopped += ": the same command with --resume goes on"
		}
	}
	if lost, ok := errors.AsType[*finetune.DivergedError](err); ok {
		r.Stopped = fmt.Sprintf("the loss is %v at step %d of epoch %d", lost.Loss, lost.Step, lost.Epoch)
		if lost.Kept == 0 {
			r.Output = ""
		}
	}
	return r
}

func finetuneDocument(r *finetuneJSON) *render.Document {
	head := render.Table{Title: r.Path, Columns: []string{"", ""}}
	head.Add(render.Text("data"), render.Text(fmt.Sprintf("%s, %s", r.Data, words.Count(r.Examples, "example"))))
	head.Add(render.Text("optimizer"), render.Text(fmt.Sprintf("%s, p = %s, step size %.4g", r.Optimizer, r.P, r.Rate)))
	head.Add(render.Text("loss"), render.Text(r.LossName))
	head.Add(render.Text("scores"), render.Code(r.Scores))
	if c := mapping(r.Classes); c != "" {
		head.Add(render.Text("classes"), render.Text(c))
	}
	head.Add(render.Text("engine"), render.Text(r.Engine))
	head.Add(render.Text("time"), render.Text(fmt.Sprintf("%.1f s", r.Seconds)))
	if r.Output != "" {
		head.Add(render.Text("written"), render.Code(r.Output))
	}
	epochs := append([]finetune.Epoch{r.Before}, r.Epochs...)
	records := render.Table{Columns: []string{"epoch", "train_loss", "train_error", "test_loss", "test_error", "path_norm_log10", "seconds", "steps_per_second"}}
	for _, e := range epochs {
		records.Add(render.Int(e.Epoch), known(e.TrainLoss), known(e.TrainError), known(e.TestLoss), known(e.TestError), known(e.PathNorm),
			render.Float(e.Seconds), known(e.StepsPerSecond))
	}
	d := &render.Document{Title: "relupath finetune", Label: "relupath-finetune", Data: r, Records: &records, Tables: []render.Table{head, epochTable(epochs)}, Figures: trainingCurves(r)}
	d.Subject, d.Lead = subject([]string{r.Path}), words.Count(len(r.Epochs), "epoch")+" of "+r.Optimizer+"."
	if note := changed(r); note != "" {
		d.Notes = append(d.Notes, note)
		d.Lead = strings.TrimSuffix(d.Lead, ".") + ": " + note + "."
	}
	if r.BestEpoch > 0 {
		d.Notes = append(d.Notes, fmt.Sprintf("the model of epoch %d was written", r.BestEpoch))
	}
	if r.Stopped != "" {
		d.Notes = append(d.Notes, "stopped: "+r.Stopped)
	}
	return d
}

// epochTable shows the epochs, without the columns that would be empty: those of
// test data that there are none of, and the errors of targets.
func epochTable(epochs []finetune.Epoch) render.Table {
	columns := []struct {
		head string
		cell func(*finetune.Epoch) render.Cell
	}{
		{"epoch", func(e *finetune.Epoch) render.Cell { return render.Int(e.Epoch) }},
		{"train loss", func(e *finetune.Epoch) render.Cell { return known(e.TrainLoss) }},
		{"train error (%)", func(e *finetune.Epoch) render.Cell { return percent(e.TrainError) }},
		{"test loss", func(e *finetune.Epoch) render.Cell { return known(e.TestLoss) }},
		{"test error (%)", func(e *finetune.Epoch) render.Cell { return percent(e.TestError) }},
		{"log10 path norm", func(e *finetune.Epoch) render.Cell { return logarithm(e.PathNorm) }},
		{"steps/s", func(e *finetune.Epoch) render.Cell {
			if e.StepsPerSecond == nil {
				return render.Cell{}
			}
			return render.Fixed(*e.StepsPerSecond, 1)
		}},
	}
	t := render.Table{Title: "epochs", Rows: make([][]render.Cell, len(epochs))}
	for _, c := range columns {
		cells := make([]render.Cell, len(epochs))
		empty := true
		for i := range epochs {
			cells[i] = c.cell(&epochs[i])
			empty = empty && cells[i] == render.Cell{}
		}
		if empty {
			continue
		}
		t.Columns = append(t.Columns, c.head)
		for i := range cells {
			t.Rows[i] = append(t.Rows[i], cells[i])
		}
	}
	return t
}

// trainingCurves draws loss, error and path norm by epoch, each where there are
// two numbers to join.
func trainingCurves(r *finetuneJSON) []render.Figure {
	epochs := append([]finetune.Epoch{r.Before}, r.Epochs...)
	curve := func(key int, scale float64, of func(*finetune.Epoch) *float64) (render.Curve, bool) {
		c, n := render.Curve{Key: key}, 0
		for i := range epochs {
			y := math.NaN()
			if v := of(&epochs[i]); v != nil {
				y = scale * *v
				n++
			}
			c.X, c.Y = append(c.X, float64(epochs[i].Epoch)), append(c.Y, y)
		}
		return c, n > 1
	}
	p := &render.Panels{Legend: []render.LegendKey{{Name: "training"}, {Name: "test", Colour: 1}}}
	add := func(title, axis string, scale float64, of ...func(*finetune.Epoch) *float64) {
		panel := render.Panel{Title: title, XAxis: "epoch", YAxis: axis}
		for key, f := range of {
			if c, ok := curve(key, scale, f); ok {
				panel.Curves = append(panel.Curves, c)
			}
		}
		if panel.Curves != nil {
			p.Panels = append(p.Panels, panel)
		}
	}
	add("Loss", "mean loss ("+r.LossName+")", 1,
		func(e *finetune.Epoch) *float64 { return e.TrainLoss }, func(e *finetune.Epoch) *float64 { return e.TestLoss })
	add("Error", "error (%)", 100,
		func(e *finetune.Epoch) *float64 { return e.TrainError }, func(e *finetune.Epoch) *float64 { return e.TestError })
	add("Path norm", "log10 path norm, p = "+r.P, 1, func(e *finetune.Epoch) *float64 { return e.PathNorm })
	if p.Panels == nil {
		return nil
	}
	return []render.Figure{{Name: "training", Title: "Training by epoch", Chart: p}}
}

// changed says what training did to the test error.
func changed(r *finetuneJSON) string {
	if r.Before.TestError == nil || len(r.Epochs) == 0 {
		return ""
	}
	last := r.Epochs[len(r.Epochs)-1]
	if r.BestEpoch > 0 && r.BestEpoch <= len(r.Epochs) {
		last = r.Epochs[r.BestEpoch-1]
	}
	if last.TestError == nil {
		return ""
	}
	from, to := *r.Before.TestError, *last.TestError
	verb := "rose"
	switch {
	case to < from:
		verb = "fell"
	case to == from:
		return fmt.Sprintf("the test error stayed at %.4g%%", 100*from)
	}
	return fmt.Sprintf("the test error %s from %.4g%% to %.4g%%", verb, 100*from, 100*to)
}

// known is a number, or an empty cell.
func known(x *float64) render.Cell {
	if x == nil {
		return render.Cell{}
	}
	return render.Float(*x)
}

// percent is a share in percent, or an empty cell.
func percent(x *float64) render.Cell {
	if x == nil {
		return render.Cell{}
	}
	return render.Fixed(100**x, 2)
}

// logarithm is an exponent, or an empty cell.
func logarithm(x *float64) render.Cell {
	if x == nil {
		return render.Cell{}
	}
	return render.Log(*x)
}
