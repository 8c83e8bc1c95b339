package command

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/finetune"
	"github.com/relupath/relupath/finetune/dataset"
	"github.com/relupath/relupath/internal/lists"
)

// dataUsage is the help of every flag --data.
const dataUsage = "labelled examples, such as mnist:DIR,split=test or csv:FILE,header; see docs/cli.md"

// scoresUsage is the help of --scores.
const scoresUsage = "output or layer whose values are the scores, where the model has several"

// readSet reads the examples that a flag names.
func (a *app) readSet(ctx context.Context, flag, text string, opt dataset.Options) (*dataset.Set, error) {
	spec, err := dataset.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	a.readsData(spec.Files()...)
	opt.Unlisted = true // the model may have a list
	set, err := dataset.Load(ctx, spec, opt)
	if err == nil && set.Len() == 0 {
		err = invalidf("no examples in %s", text)
	}
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	return set, nil
}

// numbered gives labels the numbers that the model's own list of classes says, where
// the data spec gives none; where it gives others, a warning says so. A list of the
// numbers from 0 says nothing of names. Numbers that the data were taken for targets of,
// such as -1 and 1, are labels where the model has a list and they are in it or whole.
func numbered(m *modelFile, set *dataset.Set) (_ *dataset.Set, warning string, err error) {
	classes := m.Classes()
	own := mapping(classes)
	regression := set.Task() == dataset.Regression
	switch {
	case classes == nil, regression && (set.TaskGiven() || set.TargetSize() > 1):
		return set, "", nil
	case regression:
		named, err := set.WithClasses(classes)
		if err != nil && slices.ContainsFunc(set.Targets(), func(y float64) bool { return y != math.Trunc(y) }) {
			return set, "", nil
		}
		if err != nil {
			err = fmt.Errorf("--data: %w; add task=regression if these are targets", err)
		}
		return named, "", err
	case set.ClassesGiven():
		if own != "" && !slices.Equal(classes, set.ClassNames()) {
			warning = fmt.Sprintf("the classes of the data spec (%s) are not those of the model (%s)", mapping(set.ClassNames()), own)
		}
		return set, warning, nil
	case own == "" && !isNumber(set.ClassNames()...):
		return set, "", nil
	}
	set, err = set.WithClasses(classes)
	if err != nil {
		err = fmt.Errorf("--data: %w", err)
	}
	return set, "", err
}

// setReader reads the examples of --data when they are first asked for.
type setReader func() (*dataset.Set, error)

func (a *app) newSetReader(ctx context.Context, text string, opt dataset.Options) setReader {
	return sync.OnceValues(func() (*dataset.Set, error) { return a.readSet(ctx, "data", text, opt) })
}

// sample is the shape of an example, for modelFlags.
func (r setReader) sample() ([]int, error) {
	set, err := r()
	if err != nil {
		return nil, err
	}
	return set.Shape(), nil
}

// readSets reads the examples to train on and, where a spec is given, those to test
// on, with labels as the model numbers them; the model may be nil.
func (a *app) readSets(ctx context.Context, m *modelFile, data setReader, test string) (train, held *dataset.Set, err error) {
	if train, err = data(); err != nil {
		return nil, nil, err
	}
	if m != nil {
		warning := ""
		if train, warning, err = numbered(m, train); err != nil {
			return nil, nil, err
		}
		if warning != "" {
			a.warn("%s", warning)
		}
	}
	if test != "" {
		held, err = a.readSet(ctx, "test", test, dataset.Options{DefaultSplit: dataset.Test, Like: train})
	}
	return train, held, err
}

func isNumber(names ...string) bool {
	return !slices.ContainsFunc(names, func(n string) bool {
		_, err := strconv.ParseFloat(n, 64)
		return err != nil
	})
}

// mapping says which label stands for which name; nothing where they are the numbers
// themselves.
func mapping(names []string) string {
	var out []string
	plain := true
	for i, n := range names {
		plain = plain && n == strconv.Itoa(i)
		out = append(out, fmt.Sprintf("%d = %s", i, n))
	}
	if plain {
		return ""
	}
	return strings.Join(out, ", ")
}

// scoring is a data set as a model reads it: which node's values are the scores of
// the examples, and which number each class has.
type scoring struct {
	set  *dataset.Set
	node int
	// width is the number of scores an example, name the layer's.
	width int
	name  string
	// logits says that the model's probabilities, where it gives any, are the softmax
	// of the scores; warnings that they are not.
	logits   bool
	warnings []string
	// probabilities is an output with probabilities of its own where they are not the
	// softmax of the scores. With it alone, no layer has the scores: apart are the layers of
	// one each, if they are known.
	probabilities *probabilityOutput
	alone         bool
	apart         []int
}

// layerOf is the name of a layer by that of the value that it gives in the file; other names
// stay.
func layerOf(m *modelFile, name string) string {
	if i, ok := m.Values[name]; ok && m.Net.Find(name) == nil {
		return fmt.Sprintf("node %d", i)
	}
	return name
}

// evaluated is newScoring for what trains nothing: probabilities may stand for the scores.
func evaluated(ctx context.Context, m *modelFile, set *dataset.Set, name string) (*scoring, error) {
	at, err := newScoring(ctx, m, set, name)
	if err != nil {
		if alone, ok := probabilitiesAlone(ctx, m, set, name); ok {
			return alone, nil
		}
	}
	return at, err
}

// newScoring finds the scores of a model, as finetune does: those of the output or
// layer of a name, or those that fit the data. It evaluates a few examples.
func newScoring(ctx context.Context, m *modelFile, set *dataset.Set, name string) (*scoring, error) {
	set, warning, err := numbered(m, set)
	if err != nil {
		return nil, err
	}
	node, err := finetune.Scores(m.Net, set, layerOf(m, name))
	switch option := has[*finetune.OptionError](err); {
	case option && name == "":
		return nil, usagef("%w with --scores", err)
	case option:
		return nil, &usageError{err}
	case err != nil:
		return nil, &dataError{err}
	}
	s := &scoring{set: set, node: node, width: m.Net.Nodes[node].Len(), name: m.Net.Nodes[node].Ref(), logits: true}
	if err := s.compare(ctx, m); err != nil {
		return nil, err
	}
	if warning != "" {
		s.warnings = append(s.warnings, warning)
	}
	return s, nil
}

// maxScored is the number of values of a batch that are about there while examples are
// evaluated.
const maxScored = 1 << 22

// scores evaluates the examples in batches and calls f with each batch's first
// example and its scores, row by row, and those of at.probabilities, if any. Errors:
// a cancelled context, f's.
func scores(ctx context.Context, n *dag.Network, at *scoring, threads int, f func(first int, y, p []float64) error) error {
	set := at.set
	values := []int{at.node}
	if at.probabilities != nil {
		values = append(values, at.probabilities.node)
	}
	values = append(values, at.apart...)
	batch := min(eval.Samples(n, values, maxScored), set.Len())
	order := make([]int, batch)
	x := make([]float64, batch*set.Size())
	var buffers eval.Buffers
	for first := 0; first < set.Len(); first += batch {
		part := order[:min(batch, set.Len()-first)]
		for k := range part {
			part[k] = first + k
		}
		in := x[:len(part)*set.Size()]
		set.Batch64(in, part)
		y, err := eval.Run(ctx, n, [][]float64{in}, len(part), eval.Options{Threads: threads, Values: values, Buffers: &buffers})
		if err != nil {
			return err
		}
		p := y[min(1, len(y)-1)]
		if at.apart != nil {
			y[0] = together(n, at.apart, y[2:], len(part))
		}
		if err := f(first, y[0], p); err != nil {
			return err
		}
	}
	return nil
}

// together returns rows of the scores that layers of one class each have.
func together(n *dag.Network, nodes []int, values [][]float64, batch int) []float64 {
	out := make([]float64, batch*len(nodes))
	for k, node := range nodes {
		width := n.Nodes[node].Len()
		for i := range batch {
			out[i*len(nodes)+k] = analysis.LogOdds(values[k][i*width:][:width])
		}
	}
	return out
}

// labelled returns the examples as the measures take them.
func (s *scoring) labelled() (*analysis.Labelled, error) {
	set := s.set
	if set.Task() != dataset.Classification {
		return nil, invalidf("--data: %s has targets, margins want classes: give labelled examples, or leave --data out", set.Name())
	}
	if s.alone && s.apart == nil {
		return nil, invalidf("--data: no layer has the scores of all classes, which margins are made of: output %q has probabilities alone: leave --data out", s.name)
	}
	return &analysis.Labelled{Batch: set.Len(), Labels: set.Labels(), Scores: s.node, Apart: s.apart, Read: func(lo, hi int) [][]float64 {
		order := lists.Count(lo, hi-lo)
		x := make([]float64, len(order)*set.Size())
		set.Batch64(x, order)
		return [][]float64{x}
	}}, nil
}
