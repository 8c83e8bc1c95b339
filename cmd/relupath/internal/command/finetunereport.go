package command

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/finetune"
	"github.com/relupath/relupath/onnxio"
)

// finetuneJSON is the result of finetune, schema relupath.finetune/1.
type finetuneJSON struct {
	Schema string `json:"schema"`
	origin
	Output    string `json:"output"`
	Data      string `json:"data"`
	Examples  int    `json:"examples"`
	Optimizer string `json:"optimizer"`
	P         string `json:"p"`
	Loss      string `json:"loss"`
	Seed      uint64 `json:"seed"`
	Engine    string `json:"engine"`
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

func newFinetuneJSON(o *finetuneOptions, m *onnxio.Model, path string, res *finetune.Result, err error, took time.Duration) *finetuneJSON {
	p := order(o.opt.P)
	r := &finetuneJSON{
		Schema: "relupath.finetune/1", origin: newOrigin(path, m), Output: o.output, Data: o.train.Name(),
		Examples: o.train.Len(), Optimizer: o.optimizer, P: p.String(), Loss: string(res.Loss), Seed: o.opt.Seed, Engine: res.Engine,
		Rate: res.Rate, Before: res.Initial, Epochs: append([]finetune.Epoch{}, res.Epochs...), BestEpoch: res.BestEpoch, Stopped: res.Stopped, Seconds: took.Seconds(),
	}
	var lost *finetune.DivergedError
	if errors.As(err, &lost) {
		r.Stopped = fmt.Sprintf("the loss is %v at step %d of epoch %d", lost.Loss, lost.Step, lost.Epoch)
		if lost.Kept == 0 {
			r.Output = ""
		}
	}
	return r
}

func finetuneDocument(r *finetuneJSON) *render.Document {
	head := render.Table{Title: r.Path, Columns: []string{"", ""}}
	head.Add(render.Text("data"), render.Text(fmt.Sprintf("%s, %d examples", r.Data, r.Examples)))
	head.Add(render.Text("optimizer"), render.Text(fmt.Sprintf("%s, p = %s, step size %.4g", r.Optimizer, r.P, r.Rate)))
	head.Add(render.Text("loss"), render.Text(r.Loss))
	head.Add(render.Text("engine"), render.Text(r.Engine))
	head.Add(render.Text("time"), render.Text(fmt.Sprintf("%.1f s", r.Seconds)))
	if r.Output != "" {
		head.Add(render.Text("written"), render.Code(r.Output))
	}
	t := render.Table{Title: "epochs", Columns: []string{"epoch", "train loss", "train error", "test loss", "test error", "log10 path norm", "steps/s"}}
	records := render.Table{Columns: []string{"epoch", "train_loss", "train_error", "test_loss", "test_error", "path_norm_log10", "seconds", "steps_per_second"}}
	for _, e := range append([]finetune.Epoch{r.Before}, r.Epochs...) {
		speed := render.Cell{}
		if e.StepsPerSecond > 0 {
			speed = render.Text(strconv.FormatFloat(e.StepsPerSecond, 'f', 1, 64))
		}
		t.Add(render.Int(e.Epoch), known(e.TrainLoss), percent(e.TrainError), known(e.TestLoss), percent(e.TestError), known(e.PathNorm), speed)
		records.Add(render.Int(e.Epoch), known(e.TrainLoss), known(e.TrainError), known(e.TestLoss), known(e.TestError), known(e.PathNorm),
			render.Float(e.Seconds), render.Float(e.StepsPerSecond))
	}
	d := &render.Document{Title: "relupath finetune", Label: "relupath-finetune", Data: r, Records: &records, Tables: []render.Table{head, t}}
	if note := changed(r); note != "" {
		d.Notes = append(d.Notes, note)
	}
	if r.BestEpoch > 0 {
		d.Notes = append(d.Notes, fmt.Sprintf("the model of epoch %d was written", r.BestEpoch))
	}
	if r.Stopped != "" {
		d.Notes = append(d.Notes, "stopped: "+r.Stopped)
	}
	return d
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
	return render.Text(fmt.Sprintf("%.4g%%", 100**x))
}
