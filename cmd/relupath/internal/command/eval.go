package command

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/finetune/dataset"
	"github.com/relupath/relupath/internal/words"
)

type evalOptions struct {
	modelFlags
	data        string
	scores      string
	percentiles []string
	output      string
}

func (a *app) eval() *cobra.Command {
	o := &evalOptions{}
	cmd := &cobra.Command{
		Use:   "eval MODEL --data SPEC",
		Short: "Loss, error and margins of a model on labelled examples",
		Long: `eval evaluates a model on labelled examples and prints the mean loss, the share
of wrong answers, and percentiles of the margins. The margin of an example is
the score of its class minus the largest of the others. Scores are what feeds the
loss in finetune: the logits, which enter the model's softmax or sigmoid, or the
output; --scores names them where the model has several. A single score f tells
two classes apart: the scores are then 0 and f. The loss is that of finetune:
softmax cross-entropy, or half the squared distance to the targets, for which the
mean squared error over examples and targets is printed too. Where the model has
probabilities that are not the softmax of the scores, their log loss is printed too;
where no layer has the scores of all classes, it is the loss, and the scores of one
classifier for each class are its log odds.`,
		Example: `  relupath eval iris.onnx --data csv:iris.csv,header
  relupath eval iris.onnx --data csv:iris.csv,header --percentile 1,50 --format json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), a, args[0]) },
	}
	o.add(cmd)
	f := cmd.Flags()
	f.StringVar(&o.data, "data", "", dataUsage)
	f.StringVar(&o.scores, "scores", "", scoresUsage)
	f.StringSliceVar(&o.percentiles, "percentile", []string{"0", "1", "5", "10", "50"}, "percentiles of the margins")
	addReportFile(cmd, &o.output)
	return cmd
}

// evalJSON is the result of eval, schema relupath.eval/1.
type evalJSON struct {
	Schema string `json:"schema"`
	origin
	Data     string `json:"data"`
	Task     string `json:"task"`
	Examples int    `json:"examples"`
	// Split is the part of the data, empty where there are none; Classes the names of
	// the labels 0, 1..., where the data or the model have names.
	Split   string   `json:"split,omitempty"`
	Classes []string `json:"classes,omitempty"`
	// Scores is the layer whose values feed the loss. Logits is false where the
	// model's probabilities are not their softmax.
	Scores string `json:"scores"`
	Logits bool   `json:"logits"`
	// Loss is named by LossName, a mean over the examples.
	LossName string   `json:"loss_name"`
	Loss     *float64 `json:"loss"`
	// Probabilities are those of an output that are not the softmax of the scores.
	Probabilities *probabilitiesJSON `json:"probabilities,omitempty"`
	// MeanSquared is the mean squared error over examples and targets, for
	// regression.
	MeanSquared *float64 `json:"mean_squared_error,omitempty"`
	// Correct and Error are left out for regression.
	Correct  *int             `json:"correct,omitempty"`
	Error    *float64         `json:"error,omitempty"`
	Margins  []percentileJSON `json:"margins"`
	Warnings []string         `json:"warnings"`
}

// probabilitiesJSON has the mean of -ln p over the examples, p the probability that an output
// gives to the example's class.
type probabilitiesJSON struct {
	Output  string   `json:"output"`
	LogLoss *float64 `json:"log_loss"`
}

type percentileJSON struct {
	Percentile float64  `json:"percentile"`
	Margin     *float64 `json:"margin"`
}

func (o *evalOptions) run(ctx context.Context, a *app, path string) error {
	if o.data == "" {
		return usagef("eval: give the examples with --data")
	}
	percentiles, err := parsePercentiles(o.percentiles)
	if err != nil {
		return &usageError{fmt.Errorf("--percentile: %w", err)}
	}
	if err := a.vacantAll(a.existing(), o.output); err != nil {
		return err
	}
	var r *evalJSON
	data := o.reader(ctx, a)
	o.sample = data.sample
	err = a.withModel(ctx, path, &o.modelFlags, func(m *modelFile) error {
		r, err = o.work(ctx, a, m, path, percentiles, data)
		return err
	})
	if err != nil {
		return err
	}
	return a.report(evalDocument(r), o.output, a.existing())
}

func (o *evalOptions) reader(ctx context.Context, a *app) setReader {
	return a.newSetReader(ctx, o.data, dataset.Options{DefaultSplit: dataset.Test})
}

// work evaluates a model on the data.
func (o *evalOptions) work(ctx context.Context, a *app, m *modelFile, path string, percentiles []float64, data setReader) (*evalJSON, error) {
	set, err := data()
	if err != nil {
		return nil, err
	}
	at, err := evaluated(ctx, m, set, o.scores)
	if err != nil {
		return nil, err
	}
	e := &evaluation{scoring: at, margins: make([]float64, 0, at.set.Len())}
	a.stage(path, "evaluating")
	err = scores(ctx, m.Net, at, a.threads, func(first int, y, p []float64) error {
		e.add(first, y, p)
		a.step(first+len(y)/at.width, set.Len())
		return nil
	})
	if err != nil {
		return nil, err
	}
	r := &evalJSON{
		Schema: "relupath.eval/1", origin: newOrigin(path, m), Data: set.Name(), Task: string(set.Task()), Examples: set.Len(),
		Split: string(set.Split()), Classes: at.set.ClassNames(), Scores: at.name, Logits: at.logits, Margins: []percentileJSON{},
		Warnings: filled(append(slices.Clone(m.Warnings), at.warnings...)),
	}
	e.report(r, percentiles)
	return r, nil
}

func parsePercentiles(list []string) ([]float64, error) {
	var out []float64
	for _, s := range list {
		v, err := strconv.ParseFloat(s, 64)
		if err != nil || !(v >= 0 && v <= 100) {
			return nil, fmt.Errorf("%q is no number from 0 to 100", s)
		}
		out = append(out, v)
	}
	return out, nil
}

// evaluation gathers what the scores of labelled examples say.
type evaluation struct {
	*scoring
	loss, logLoss float64
	correct       int
	margins       []float64
}

// add takes the scores of a batch that begins with an example, and its probabilities, if
// the model has some of its own.
func (e *evaluation) add(first int, y, p []float64) {
	var pair [2]float64
	for k := 0; (k+1)*e.width <= len(y); k++ {
		row := y[k*e.width:][:e.width]
		if e.set.Task() == dataset.Regression {
			for i, t := range e.set.Target(first + k) {
				e.loss += (row[i] - t) * (row[i] - t)
			}
			continue
		}
		label := e.set.Labels()[first+k]
		if o := e.probabilities; o != nil {
			e.logLoss += o.loss(p[k*o.width:][:o.width], label)
		}
		if e.width == 1 {
			pair[1] = row[0]
			row = pair[:]
		}
		if predicted(row) == label {
			e.correct++
		}
		if e.alone && e.apart == nil {
			continue
		}
		e.loss += crossEntropy(row, label)
		e.margins = append(e.margins, margin(row, label))
	}
}

// crossEntropy returns ln sum_c exp(f_c) - f_y, the largest score taken out so
// that nothing overflows. NaN for NaN scores.
func crossEntropy(f []float64, y int) float64 {
	top := slices.Max(f)
	s := 0.0
	for _, x := range f {
		s += math.Exp(x - top)
	}
	return math.Log(s) + top - f[y]
}

// margin returns f_y - max_{c != y} f_c.
func margin(f []float64, y int) float64 {
	other := math.Inf(-1)
	for c, x := range f {
		if c != y {
			other = max(other, x)
		}
	}
	return f[y] - other
}

// predicted returns the first class with the largest score; -1 for NaN scores.
func predicted(f []float64) int {
	best := 0
	for c, x := range f {
		if math.IsNaN(x) {
			return -1
		}
		if x > f[best] {
			best = c
		}
	}
	return best
}

// percentile interpolates linearly between order statistics, as NumPy does by
// default; v is sorted. NaN for no numbers.
func percentile(v []float64, p float64) float64 {
	if len(v) == 0 || math.IsNaN(v[0]) {
		return math.NaN()
	}
	at := p / 100 * float64(len(v)-1)
	k := min(int(at), len(v)-1)
	if k == len(v)-1 {
		return v[k]
	}
	return v[k] + (at-float64(k))*(v[k+1]-v[k])
}

func (e *evaluation) report(r *evalJSON, percentiles []float64) {
	n := float64(e.set.Len())
	if e.set.Task() == dataset.Regression {
		r.LossName, r.Loss = "squared", render.Real(e.loss/n/2)
		r.MeanSquared = render.Real(e.loss / n / float64(e.width))
		return
	}
	r.LossName, r.Loss = "softmax", render.Real(e.loss/n)
	switch o := e.probabilities; {
	case e.alone:
		r.LossName, r.Loss = "log", render.Real(e.logLoss/n)
	case o != nil:
		r.Probabilities = &probabilitiesJSON{o.name, render.Real(e.logLoss / n)}
	}
	wrong := float64(e.set.Len()-e.correct) / n
	r.Correct, r.Error = &e.correct, &wrong
	if e.alone && e.apart == nil {
		return
	}
	slices.Sort(e.margins)
	for _, p := range percentiles {
		r.Margins = append(r.Margins, percentileJSON{p, render.Real(percentile(e.margins, p))})
	}
}

// verdict is the result in a sentence.
func (r *evalJSON) verdict() string {
	of := words.Count(r.Examples, "example")
	switch {
	case r.Error != nil:
		return fmt.Sprintf("%.4g%% of %s are wrong; the loss (%s) is %s.", 100**r.Error, of, r.LossName, short(r.Loss))
	case r.MeanSquared != nil:
		return fmt.Sprintf("The mean squared error of %s is %s.", of, short(r.MeanSquared))
	}
	return fmt.Sprintf("The loss (%s) of %s is %s.", r.LossName, of, short(r.Loss))
}

func evalDocument(r *evalJSON) *render.Document {
	t := render.Table{Title: r.Path, Columns: []string{"", ""}}
	t.Add(render.Text("data"), render.Text(r.Data))
	t.Add(render.Text("examples"), render.Int(r.Examples))
	t.Add(render.Text("scores"), render.Code(r.Scores))
	if c := mapping(r.Classes); c != "" {
		t.Add(render.Text("classes"), render.Text(c))
	}
	t.Add(render.Text("loss ("+r.LossName+")"), optional(r.Loss))
	if p := r.Probabilities; p != nil {
		t.Add(render.Text("log loss of "+p.Output), optional(p.LogLoss))
	}
	if r.MeanSquared != nil {
		t.Add(render.Text("mean squared error"), optional(r.MeanSquared))
	}
	if r.Error != nil {
		t.Add(render.Text("error"), render.Text(fmt.Sprintf("%.4g%%", 100**r.Error)))
		t.Add(render.Text("correct"), render.Int(*r.Correct))
	}
	d := &render.Document{Title: "relupath eval", Label: "relupath-eval", Data: r, Records: evalRecords(r), Tables: []render.Table{t}, Notes: r.Warnings, Subject: subject([]string{r.Path}), Lead: r.verdict()}
	if len(r.Margins) > 0 {
		m := render.Table{Title: "margins", Columns: []string{"percentile", "margin"}}
		for _, p := range r.Margins {
			m.Add(render.Float(p.Percentile), optional(p.Margin))
		}
		d.Tables = append(d.Tables, m)
	}
	return d
}

// evalRecords is the tidy table: one quantity a row.
func evalRecords(r *evalJSON) *render.Table {
	t := &render.Table{Columns: []string{"path", "data", "quantity", "percentile", "value"}}
	add := func(name string, percentile, value render.Cell) {
		t.Add(render.Text(r.Path), render.Text(r.Data), render.Text(name), percentile, value)
	}
	add("examples", render.Cell{}, render.Int(r.Examples))
	add("loss_"+r.LossName, render.Cell{}, optional(r.Loss))
	if p := r.Probabilities; p != nil {
		add("log_loss", render.Cell{}, optional(p.LogLoss))
	}
	if r.MeanSquared != nil {
		add("mean_squared_error", render.Cell{}, optional(r.MeanSquared))
	}
	if r.Error != nil {
		add("correct", render.Cell{}, render.Int(*r.Correct))
		add("error", render.Cell{}, optional(r.Error))
	}
	for _, p := range r.Margins {
		add("margin", render.Float(p.Percentile), optional(p.Margin))
	}
	return t
}
