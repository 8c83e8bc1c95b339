package command

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/finetune/dataset"
	"github.com/relupath/relupath/internal/lists"
)

// probabilityOutput is an output with a probability, or its logarithm, for each class.
type probabilityOutput struct {
	node  int
	name  string
	width int
	// log says that the values are logarithms, odds that they are log odds; epsilon is the distance
	// of 1 to the next number of the output's type.
	log, odds bool
	epsilon   float64
}

// loss is -ln p_y of one example. Probabilities are at least epsilon, as in
// scikit-learn's log_loss. NaN for NaN.
func (o *probabilityOutput) loss(row []float64, y int) float64 {
	p := row[y]
	switch {
	case o.log:
		p = math.Exp(p)
	case o.odds:
		p = 1 / (1 + math.Exp(-p))
	}
	return -math.Log(min(max(p, o.epsilon), 1-o.epsilon))
}

// few evaluates nodes on the first examples, up to 16 of them.
func few(ctx context.Context, m *modelFile, set *dataset.Set, values []int) (ys [][]float64, n int, err error) {
	const most = 16
	order := lists.Count(0, min(most, set.Len()))
	x := make([]float64, len(order)*set.Size())
	set.Batch64(x, order)
	ys, err = eval.Run(ctx, m.Net, [][]float64{x}, len(order), eval.Options{Threads: 1, Values: values})
	return ys, len(order), err
}

// floats lists the outputs of numbers that can be evaluated and that f takes.
func floats(m *modelFile, f func(nd *dag.Node) bool) []probabilityOutput {
	var out []probabilityOutput
	for _, p := range m.Net.Outputs {
		nd := &m.Net.Nodes[p.Node]
		k := slices.IndexFunc(m.Outputs, func(o portInfo) bool { return o.Name == p.Name })
		if k < 0 || !f(nd) {
			continue
		}
		typ := m.Outputs[k].Type
		if !strings.Contains(typ, "float") && typ != "sequence" {
			continue
		}
		if _, unknown := m.Net.Unevaluated([]int{p.Node}); unknown {
			continue
		}
		o := probabilityOutput{node: p.Node, name: p.Name, width: nd.Len(), epsilon: 0x1p-23}
		if typ == "float64" {
			o.epsilon = 0x1p-52
		}
		out = append(out, o)
	}
	return out
}

// distributed says whether each row has probabilities that sum to 1, or their logarithms,
// which it notes.
func (o *probabilityOutput) distributed(y []float64) bool {
	const tolerance = 1e-4 // of sums in float32
	all := func(f func(float64) float64) bool {
		for row := range slices.Chunk(y, o.width) {
			sum := 0.0
			for _, v := range row {
				p := f(v)
				if !(p >= -tolerance && p <= 1+tolerance) {
					return false
				}
				sum += p
			}
			if math.Abs(sum-1) > tolerance {
				return false
			}
		}
		return true
	}
	if o.width < 2 {
		return false
	}
	if all(func(v float64) float64 { return v }) {
		return true
	}
	o.log = all(math.Exp)
	return o.log
}

// compare holds the model's probabilities against the softmax of the scores, on the
// first examples.
func (s *scoring) compare(ctx context.Context, m *modelFile) error {
	if s.set.Task() != dataset.Classification {
		return nil
	}
	found := floats(m, func(nd *dag.Node) bool {
		fits := nd.Len() == s.width || s.width == 1 && nd.Len() == 2
		return fits && (nd.ID == s.node || nd.Zone == dag.Head && slices.Contains(m.Net.Feeds(nd.ID), s.node))
	})
	if found == nil && s.width != 2 {
		return nil
	}
	values := []int{s.node}
	for _, o := range found {
		values = append(values, o.node)
	}
	ys, _, err := few(ctx, m, s.set, values)
	if err != nil {
		return err
	}
	var warnings []string
	for k := range found {
		o, y := &found[k], ys[k+1]
		text := "output %q is not the softmax of the scores, %s: loss and margins are those of the scores"
		switch {
		case o.node == s.node && !o.distributed(y):
			continue
		case o.node == s.node:
			text = "output %q has probabilities, and no layer what they are the softmax of: loss and margins are those of the scores, %s"
		case probabilities(ys[0], s.width, y, o.width):
			return nil // one output has the probabilities
		case s.width == 1 && probabilities(lists.Map(ys[0], func(x float64) float64 { return -x }), 1, y, o.width):
			if s.set.ClassesGiven() {
				return nil // which score is which class was said
			}
			text = "output %q gives class 0 the sigmoid of the score %s, which the loss takes for that of class 1: name the classes in the other order with classes=B;A in the data spec"
		}
		if s.probabilities == nil && o.distributed(y) {
			s.probabilities = o
		}
		warnings = append(warnings, fmt.Sprintf(text, o.name, s.name))
	}
	if s.probabilities == nil && twice(ys[0], s.width) {
		s.probabilities = &probabilityOutput{node: s.node, name: s.name, width: s.width, odds: true, epsilon: 0x1p-52}
		warnings = append(warnings, fmt.Sprintf("the two scores of %s are one number s and -s, as scikit-learn's decision_function is written: loss and margins are those of both, whose softmax is the sigmoid of 2 s and whose difference 2 s", s.name))
	}
	s.warnings = append(s.warnings, warnings...)
	s.logits = warnings == nil
	return nil
}

// twice says whether rows of two scores are one number and its negative, not all of them zeros.
func twice(f []float64, width int) bool {
	if width != 2 {
		return false
	}
	some := false
	for row := range slices.Chunk(f, width) {
		if row[0] != -row[1] {
			return false
		}
		some = some || row[0] != 0
	}
	return some
}

// probabilitiesAlone is the scoring of a model whose classes have a score each in layers of
// their own, as one classifier for each class: that by the one output with a probability for
// each class, of a name or of any ("").
func probabilitiesAlone(ctx context.Context, m *modelFile, set *dataset.Set, name string) (*scoring, bool) {
	set, _, err := numbered(m, set)
	if err != nil || set.Task() != dataset.Classification {
		return nil, false
	}
	names := set.ClassNames()
	found := floats(m, func(nd *dag.Node) bool {
		return nd.Zone == dag.Head && (nd.Len() == len(names) || names == nil && nd.Len() >= set.Classes())
	})
	found = slices.DeleteFunc(found, func(o probabilityOutput) bool {
		if name != "" && o.name != name {
			return true
		}
		ys, _, err := few(ctx, m, set, []int{o.node})
		return err != nil || !o.distributed(ys[0])
	})
	if len(found) != 1 {
		return nil, false
	}
	s := &scoring{set: set, node: found[0].node, width: found[0].width, name: found[0].name, probabilities: &found[0], alone: true}
	s.apart = apart(ctx, m, set, s.probabilities)
	warning := fmt.Sprintf("no layer has the scores of all classes: the loss is that of the probabilities of output %q", s.name)
	if s.apart == nil {
		warning += ", without margins"
	} else {
		warning += ", and margins are those of the log odds of each class's own classifier"
	}
	s.warnings = []string{warning}
	return s, true
}

// apart finds the layer of each class where an output has probabilities that are sigmoids of a
// score for each class divided by their sum, as scikit-learn's OneVsRestClassifier has; nil for others.
func apart(ctx context.Context, m *modelFile, set *dataset.Set, o *probabilityOutput) []int {
	ends := m.Net.Feeds(o.node)
	if len(ends) != o.width || o.log || slices.ContainsFunc(ends, func(i int) bool { return m.Net.Nodes[i].Len() > 2 || m.Net.Nodes[i].Zone != dag.Body }) {
		return nil
	}
	ys, n, err := few(ctx, m, set, append(slices.Clone(ends), o.node))
	if err != nil {
		return nil
	}
	odds := make([][]float64, len(ends)) // by end, of each example
	total := make([]float64, n)
	for k := range ends {
		for row := range slices.Chunk(ys[k], m.Net.Nodes[ends[k]].Len()) {
			p := 1 / (1 + math.Exp(-analysis.LogOdds(row)))
			total[len(odds[k])] += p
			odds[k] = append(odds[k], p)
		}
	}
	p := ys[len(ends)]
	const tolerance = 1e-5 // the head's constants are float32
	of := func(class, k int) bool {
		for i := range n {
			got, want := p[i*o.width+class], odds[k][i]/total[i]
			if !(math.Abs(got-want) <= tolerance*max(got, want)) {
				return false
			}
		}
		return true
	}
	var out []int
	for class := range o.width {
		var fit []int
		for k, end := range ends {
			if of(class, k) && !slices.Contains(out, end) {
				fit = append(fit, end)
			}
		}
		if len(fit) != 1 {
			return nil
		}
		out = append(out, fit[0])
	}
	return out
}

// probabilities says whether rows of y are the softmax of rows of scores f, or its
// logarithm. One score f stands for (0, f).
func probabilities(f []float64, width int, y []float64, size int) bool {
	const tolerance = 1e-5 // the head's constants are float32
	for i := range len(f) / width {
		row := f[i*width:][:width]
		if width == 1 {
			row = []float64{0, row[0]}
		}
		at := len(row) - size // one probability is that of class 1
		for c, got := range y[i*size:][:size] {
			want := math.Exp(-crossEntropy(row, at+c))
			if math.Abs(got-want) > tolerance && math.Abs(math.Exp(got)-want) > tolerance {
				return false
			}
		}
	}
	return true
}
