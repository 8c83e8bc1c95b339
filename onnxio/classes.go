package onnxio

import (
	"encoding/json"
	"slices"
	"strconv"

	"github.com/relupath/relupath/onnxio/internal/source"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// Classes returns the names of the classes in the order of the scores, where the file
// has such a list: labels of ai.onnx.ml's ZipMap, ArrayFeatureExtractor,
// LabelEncoder or classifiers, else what relupath stored as metadata. They are read when they are
// asked for, so that a program which never asks links no decoder of JSON.
func (m *Model) Classes() []string {
	if m.named {
		return m.names
	}
	list, _ := classList(m.file)
	return list
}

// SetClasses names the classes before the model is written: a file without labels of its own then
// keeps them.
func (m *Model) SetClasses(names []string) { m.names, m.named = names, true }

// classesKey is the metadata entry that holds Model.Classes of a file without a
// list of its own, as a JSON array of strings.
const classesKey = "relupath.classes"

// classList finds the names of the classes in a file: the labels of ZipMap and of
// the classifiers of ai.onnx.ml, the constant that an ArrayFeatureExtractor looks
// labels up in, the texts that a LabelEncoder makes of the numbers from 0. A list of
// names counts more than one of numbers, and that more than the plain numbers from 0.
// own says that the operators have a list; without one the metadata may. It returns
// nil where lists of one kind differ, as those of several classifiers do.
func classList(f *wire.File) (classes []string, own bool) {
	best := 0
	for i := range f.Graph.Nodes {
		n := &f.Graph.Nodes[i]
		if n.Domain != "ai.onnx.ml" {
			continue
		}
		list, kind := listOf(n, f)
		switch {
		case kind < best || kind == 0:
		case kind > best:
			classes, best = list, kind
		case !slices.Equal(list, classes):
			classes = nil
		}
	}
	if best > 0 {
		return classes, true
	}
	for _, e := range f.Model.Metadata {
		if e.Key == classesKey && json.Unmarshal([]byte(e.Value), &classes) != nil {
			classes = nil
		}
	}
	return classes, false
}

// listOf returns the class list of one node; its kind is 3 for names, 2 for numbers,
// 1 for the numbers from 0, 0 for none.
func listOf(n *wire.Node, f *wire.File) (list []string, kind int) {
	var ints []int64
	switch n.OpType {
	case "ArrayFeatureExtractor":
		list, ints = looksUp(n, f)
	case "LabelEncoder":
		keys, values := n.Attribute("keys_int64s"), n.Attribute("values_strings")
		if keys == nil || values == nil || len(keys.Ints) != len(values.Strings) || !counts(keys.Ints) {
			return nil, 0
		}
		list = values.Texts()
	default:
		for _, name := range []string{"classlabels_strings", "classlabels_int64s", "classlabels_ints"} {
			if a := n.Attribute(name); a != nil && list == nil && ints == nil {
				list, ints = a.Texts(), a.Ints
			}
		}
	}
	if len(list) > 0 {
		return list, 3
	}
	for _, x := range ints {
		list = append(list, strconv.FormatInt(x, 10))
	}
	switch {
	case len(list) == 0:
		return nil, 0
	case counts(ints):
		return list, 1
	}
	return list, 2
}

// looksUp returns the constant whose entries a node looks up.
func looksUp(n *wire.Node, f *wire.File) ([]string, []int64) {
	if len(n.Inputs) != 2 {
		return nil, nil
	}
	t := constantOf(n.Inputs[0], f)
	if t == nil {
		return nil, nil
	}
	if t.DType == wire.String {
		s, err := t.Strings()
		if err != nil {
			return nil, nil
		}
		return s, nil
	}
	con, err := tensor.Of(&source.Tensor{Wire: t, Initializer: -1, Name: t.Name})
	if err != nil || con.Kind != tensor.Integer {
		return nil, nil
	}
	ints, err := con.Int64s()
	if err != nil {
		return nil, nil
	}
	return nil, ints
}

// constantOf returns the initializer, or the Constant's tensor, of a name; nil for none.
func constantOf(name string, f *wire.File) *wire.Tensor {
	for i := range f.Graph.Initializers {
		if f.Graph.Initializers[i].Name == name {
			return &f.Graph.Initializers[i]
		}
	}
	for i := range f.Graph.Nodes {
		n := &f.Graph.Nodes[i]
		if n.OpType == "Constant" && slices.Contains(n.Outputs, name) {
			if a := n.Attribute("value"); a != nil {
				return a.T
			}
		}
	}
	return nil
}

// counts says that a list is 0, 1, 2...
func counts(list []int64) bool {
	for i, x := range list {
		if x != int64(i) {
			return false
		}
	}
	return true
}

// classes writes Model.Classes where they are not those that were read.
func (m *Model) classes(p *wire.Patch) error {
	if !m.named {
		return nil
	}
	list, own := classList(m.file)
	if own || slices.Equal(list, m.names) {
		return nil
	}
	text, err := json.Marshal(m.names)
	if err != nil {
		return err
	}
	return p.SetMetadata(classesKey, string(text))
}
