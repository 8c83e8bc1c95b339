package command

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/finetune/dataset"
	"github.com/relupath/relupath/onnxio"
)

// dataUsage is the help of every flag --data.
const dataUsage = "labelled examples, such as mnist:DIR,split=test or csv:FILE,header; see docs/cli.md"

// loadData reads the examples of a spec, the test split unless it names one.
func loadData(ctx context.Context, text string) (*dataset.Set, error) {
	spec, err := dataset.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	set, err := dataset.Load(ctx, spec, dataset.Options{DefaultSplit: dataset.Test})
	if err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	if set.Len() == 0 {
		return nil, invalidf("--data %s: no examples", text)
	}
	return set, nil
}

// sigmoids are the operators of a head that keep the order of the scores that
// enter it, so that these are the model's logits.
var sigmoids = []string{
	"Softmax", "LogSoftmax", "Sigmoid", "ArgMax", "TopK", "Cast", "Identity", "ZipMap",
	"Reshape", "Flatten", "Squeeze", "Hardmax", "Normalizer", "ArrayFeatureExtractor",
}

// scoring says which node's values are the scores of the examples.
type scoring struct {
	node int
	// width is the number of scores an example.
	width int
	// name is the output or layer, for messages.
	name string
	// logits says that the scores enter the loss as they are; else they are the
	// model's outputs behind a head that is unknown here.
	logits bool
}

// newScoring finds the scores of a model for data with a number of classes (or
// of targets, for regression): what enters a head of softmax and the like, else
// an output of that size. One score tells two classes apart.
func newScoring(m *onnxio.Model, set *dataset.Set) (scoring, error) {
	n := m.Net
	want, what := set.Classes(), "classes"
	if set.Task() == dataset.Regression {
		want, what = set.TargetSize(), "targets"
	}
	fits := func(i int) bool {
		if set.Task() == dataset.Regression {
			return n.Nodes[i].Len() == want
		}
		size := n.Nodes[i].Len()
		return size >= max(want, 2) || size == 1 && want <= 2
	}
	if b := n.Boundary(); len(b) == 1 && fits(b[0]) && ordered(m.Head) {
		return scoring{b[0], n.Nodes[b[0]].Len(), n.Nodes[b[0]].Label(), true}, nil
	}
	var sizes []string
	for _, p := range n.Outputs {
		// A single number behind a head is a label or a probability, no logit.
		if fits(p.Node) && (n.Nodes[p.Node].Len() > 1 || len(m.Head) == 0 || set.Task() == dataset.Regression) {
			return scoring{p.Node, n.Nodes[p.Node].Len(), fmt.Sprintf("output %q", p.Name), len(m.Head) == 0}, nil
		}
		sizes = append(sizes, fmt.Sprintf("%q of size %d", p.Name, n.Nodes[p.Node].Len()))
	}
	return scoring{}, invalidf("the data %s has %d %s, but the model gives %s: give data of the same task",
		set.Name(), want, what, strings.Join(sizes, ", "))
}

// ordered reports whether a head keeps the order of the scores that enter it.
// Its nodes are listed as name (operator), or as the operator alone.
func ordered(head []string) bool {
	for _, op := range head {
		if at := strings.LastIndex(op, "("); at >= 0 {
			op = strings.TrimSuffix(op[at+1:], ")")
		}
		op = op[strings.LastIndex(op, ".")+1:]
		if !slices.Contains(sigmoids, op) {
			return false
		}
	}
	return true
}

// fitsInput checks that the examples have the size, and where the shapes tell
// it the layout, of the model's input.
func fitsInput(n *dag.Network, set *dataset.Set) error {
	if len(n.Inputs) != 1 {
		return invalidf("the model has %d inputs: only models with one input can be evaluated on labelled examples", len(n.Inputs))
	}
	in, got := n.Nodes[n.Inputs[0].Node].Shape, set.Shape()
	if dag.Size(in) != set.Size() {
		return invalidf("examples of %s have shape %s, the model's input %q has %s", set.Name(), render.Dims(got), n.Inputs[0].Name, render.Dims(in))
	}
	images := len(in) == 3 && len(got) == 3 && got[0] != 1 && got[2] != 1
	if images && !slices.Equal(in, got) {
		return invalidf("examples of %s have shape %s, the model's input %q has %s: add transpose to the data spec",
			set.Name(), render.Dims(got), n.Inputs[0].Name, render.Dims(in))
	}
	return nil
}

// maxScored bounds the values of one layer that are held while examples are
// evaluated.
const maxScored = 1 << 22

// scores evaluates the examples in batches and calls f with each batch's first
// example and its scores, row by row. Errors: examples that do not fit the
// model, a cancelled context, f's.
func scores(ctx context.Context, n *dag.Network, set *dataset.Set, at scoring, threads int, f func(first int, y []float64) error) error {
	if err := fitsInput(n, set); err != nil {
		return err
	}
	widest := 1
	for i := range n.Nodes {
		widest = max(widest, n.Nodes[i].Len())
	}
	batch := min(max(1, maxScored/widest), set.Len())
	order := make([]int, batch)
	x := make([]float64, batch*set.Size())
	for first := 0; first < set.Len(); first += batch {
		part := order[:min(batch, set.Len()-first)]
		for k := range part {
			part[k] = first + k
		}
		in := x[:len(part)*set.Size()]
		set.Batch64(in, part)
		y, err := n.Eval(ctx, [][]float64{in}, len(part), dag.EvalOptions{Threads: threads, Values: []int{at.node}})
		if err != nil {
			return err
		}
		if err := f(first, y[0]); err != nil {
			return err
		}
	}
	return nil
}

// labelled returns all examples as the measures take them: in memory.
func labelled(ctx context.Context, set *dataset.Set) (*analysis.Labelled, error) {
	if set.Task() != dataset.Classification {
		return nil, invalidf("--data: %s has targets, margins want classes: give labelled examples, or leave --data out", set.Name())
	}
	x := make([]float64, set.Len()*set.Size())
	one := []int{0}
	for i := range set.Len() {
		if i%1024 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		one[0] = i
		set.Batch64(x[i*set.Size():], one)
	}
	return &analysis.Labelled{Inputs: [][]float64{x}, Batch: set.Len(), Labels: set.Labels()}, nil
}

// isDataError reports whether an error is about a data spec (usage) or its
// files (data).
func isDataError(err error) (usage, data bool) {
	var spec *dataset.SpecError
	var file *dataset.DataError
	return errors.As(err, &spec), errors.As(err, &file)
}
