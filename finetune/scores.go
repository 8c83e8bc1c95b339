package finetune

import (
	"fmt"
	"slices"
	"strings"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune/dataset"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/words"
)

// Scores returns the node whose value feeds the loss on labelled examples, and
// checks that the examples fit the network: training, evaluation and margins all
// take it from here.
//
// With a name it is the output or layer of that name (see dag.Network.Find); where
// that is a function of one value of the body, as a softmax is of the logits, class
// labels are compared with this value. Without a name class labels are compared with
// the value at which the body ends, and targets with the output; of several values
// the one that has a score for each class (one for two classes), or as many numbers as
// there are targets; of several such the one that is an output.
//
// Errors: an *OptionError where the name is unknown, or missing and needed; else an
// error that says how examples and network differ.
func Scores(net *dag.Network, set *dataset.Set, name string) (int, error) {
	if err := fitsInput(net, set); err != nil {
		return 0, err
	}
	if err := set.Unlisted(); err != nil {
		return 0, err
	}
	node, err := scores(net, set, name)
	if err != nil {
		return 0, err
	}
	return node, fitsScores(net, set, node)
}

func scores(net *dag.Network, set *dataset.Set, name string) (int, error) {
	if name != "" {
		return named(net, set, name)
	}
	// What a function takes from the input beside the layers is no score.
	ends := slices.DeleteFunc(net.Boundary(), func(i int) bool { return net.Nodes[i].Zone == dag.Preamble })
	switch {
	case set.Task() == dataset.Regression:
		ends = nil
		for _, p := range net.Outputs {
			if !slices.Contains(ends, p.Node) {
				ends = append(ends, p.Node)
			}
		}
	case len(ends) == 0:
		if err := unevaluated(net, nil); err != nil {
			return 0, err
		}
		return 0, optionf("no layer gives scores, name the output that does: %s", outputs(net))
	}
	if len(ends) == 1 {
		return ends[0], nil
	}
	var fit []int
	for _, i := range ends {
		switch size := net.Nodes[i].Len(); {
		case set.Task() == dataset.Regression:
			if size == set.TargetSize() {
				fit = append(fit, i)
			}
		case size == set.Classes(), size == 1 && set.Classes() == 2:
			fit = append(fit, i)
		}
	}
	// An output goes before what it is made of.
	out := slices.DeleteFunc(slices.Clone(fit), func(i int) bool {
		return !slices.ContainsFunc(net.Outputs, func(p dag.Port) bool { return p.Node == i })
	})
	for _, list := range [][]int{fit, out} {
		if len(list) == 1 {
			return list[0], nil
		}
	}
	if room := func(i int) bool {
		return net.Nodes[i].Len() >= set.Classes() || net.Nodes[i].Len() == 1 && set.Classes() <= 2
	}; !slices.ContainsFunc(ends, room) {
		return 0, fmt.Errorf("finetune: the network ends in %s, none of which has a score for each of the %s of %s: %s: one layer has to give them all",
			words.Count(len(ends), "value"), words.Count(set.Classes(), "class"), set.Name(), labels(net, ends))
	}
	return 0, optionf("the network ends in %s, name the one that feeds the loss: %s", words.Count(len(ends), "value"), labels(net, ends))
}

// named resolves a name: outputs come before layers.
func named(net *dag.Network, set *dataset.Set, name string) (int, error) {
	node := -1
	for _, p := range net.Outputs {
		if p.Name == name {
			node = p.Node
		}
	}
	if node < 0 {
		found := net.Find(name)
		if found == nil {
			return 0, optionf("there is no output or layer %q: the network ends in %s", name, labels(net, net.Boundary()))
		}
		node = found[len(found)-1] // the last one where an operator became several nodes
	}
	if net.Nodes[node].Zone != dag.Head || set.Task() == dataset.Regression {
		return node, nil
	}
	ends := net.Feeds(node)
	if layers := func(i int) bool { return net.Nodes[i].Zone != dag.Preamble }; !slices.ContainsFunc(ends, layers) {
		if err := unevaluated(net, []int{node}); err != nil {
			return 0, err
		}
	}
	if len(ends) != 1 {
		return 0, optionf("%q is a function of %s, name the one that feeds the loss: %s", name, words.Count(len(ends), "value"), labels(net, ends))
	}
	return ends[0], nil
}

func optionf(format string, args ...any) error {
	return &OptionError{Err: fmt.Errorf("finetune: "+format, args...)}
}

// unevaluated is the error for values (nil for the outputs) that are functions of the
// input alone, one of them unknown.
func unevaluated(net *dag.Network, values []int) error {
	i, ok := net.Unevaluated(values)
	if !ok {
		return nil
	}
	nd := &net.Nodes[i]
	return fmt.Errorf("finetune: no layer gives scores: %s is not evaluated: %s", nd.Label(), nd.Op.(*dag.Func).Why)
}

func outputs(net *dag.Network) string {
	return strings.Join(lists.Map(net.Outputs, func(p dag.Port) string { return fmt.Sprintf("%q", p.Name) }), ", ")
}

func labels(net *dag.Network, nodes []int) string {
	return strings.Join(lists.Map(nodes, func(i int) string { return net.Nodes[i].Label() }), ", ")
}

// fitsInput checks that the examples have the size of the input and, where the
// shapes tell it, the layout.
func fitsInput(net *dag.Network, set *dataset.Set) error {
	if len(net.Inputs) != 1 {
		return fmt.Errorf("finetune: the network has %s: labelled examples are for networks with one", words.Count(len(net.Inputs), "input"))
	}
	in, got := net.Nodes[net.Inputs[0].Node].Shape, set.Shape()
	mismatch := fmt.Sprintf("finetune: the examples of %s have shape %v, the network's input %q wants %v", set.Name(), got, net.Inputs[0].Name, in)
	if dag.Size(in) != set.Size() {
		if set.Size() > dag.Size(in) && strings.HasPrefix(set.Name(), "csv ") {
			mismatch += ": label= in the data spec names the column of labels, drop= leaves columns out"
		}
		return fmt.Errorf("%s", mismatch)
	}
	if images := len(in) == 3 && len(got) == 3 && got[0] != 1 && got[2] != 1; images && !slices.Equal(in, got) {
		return fmt.Errorf("%s: add transpose to the data spec", mismatch)
	}
	return nil
}

// fitsScores checks labels or targets against the value that feeds the loss.
func fitsScores(net *dag.Network, set *dataset.Set, node int) error {
	out := &net.Nodes[node]
	if set.Task() == dataset.Regression {
		if set.TargetSize() != out.Len() {
			remedy := "give data with as many targets"
			if set.TargetSize() == 1 {
				remedy += ", or add task=class to the data spec if these are labels"
			}
			return fmt.Errorf("finetune: %s has %s an example, the network's %s gives %s: %s",
				set.Name(), words.Count(set.TargetSize(), "target"), out.Label(), words.Count(out.Len(), "number"), remedy)
		}
		return nil
	}
	classes := max(out.Len(), 2) // one score tells two classes apart
	if names := set.ClassNames(); names != nil && len(names) != classes {
		return fmt.Errorf("finetune: %s has %s (%s), the network's %s tells %d apart: name them all with classes=A;B;C in the data spec, in the order of the scores",
			set.Name(), words.Count(len(names), "class"), shortened(names), out.Label(), classes)
	}
	for i, y := range set.Labels() {
		switch {
		case y >= 0 && y < classes:
		case out.Len() == 1:
			return fmt.Errorf("finetune: %s: record %d has label %d, the network's %s has one score, which tells the classes 0 and 1 apart: name the labels of both with classes=A;B in the data spec, or give task=regression",
				set.Name(), i, y, out.Label())
		default:
			return fmt.Errorf("finetune: %s: record %d has label %d, the network's %s has one score for each of the classes 0 to %d: name the labels of all with classes=A;B;C in the data spec, in the order of the scores",
				set.Name(), i, y, out.Label(), out.Len()-1)
		}
	}
	return nil
}

// shortened lists up to ten names.
func shortened(names []string) string {
	if len(names) > 10 {
		names = append(slices.Clip(names[:10]), "...")
	}
	return strings.Join(names, ", ")
}
