package onnxio

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/lower"
	"github.com/relupath/relupath/onnxio/internal/source"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// Options say how a model is read. The zero value works.
type Options struct {
	// InputShape gives the shape of an input, its batch axis included, where the
	// file leaves dimensions open: {"x": {1, 784}}.
	InputShape map[string][]int
	// Whole computes every output: where an operator mixes the samples of a batch, all
	// axes are parts of one sample, of the shapes that the file or InputShape gives. By
	// default such operators are left out where no weights stand behind them.
	Whole bool
}

// PortInfo is one input or output as the file declares it.
type PortInfo struct {
	Name string
	// Type is the type of the elements, such as float32; sequence or map where
	// the value is no tensor; empty where the file does not say.
	Type string
	// Shape is the declared shape with the batch axis; an open dimension is -1.
	Shape []int
}

// Model is a network and the file that it was read from.
type Model struct {
	// Net is the network. Its Params are views of the file: they end with Close.
	Net *dag.Network
	// Producer is the program that wrote the file, with its version.
	Producer string
	// IRVersion and Opset are the versions of the format and of the standard
	// operators.
	IRVersion, Opset int64
	// Inputs are the inputs that are no initializers, Outputs all outputs, those
	// included that Net does not compute (see Warnings).
	Inputs, Outputs []PortInfo
	// Batchless says that the first axis of the inputs is no batch of separate
	// samples: the shapes in Net are whole, and an output has no axis before its own.
	Batchless bool
	// Mixed says which operator mixes the samples of a batch, where outputs are left out
	// for that: see Options.Whole. It is empty for others.
	Mixed string
	// Unbatched lists the outputs that the file gives once for all samples of a batch, as it does a
	// constant: they have no axis of samples.
	Unbatched []string
	// Values has the nodes of Net by the names of the values in the file that they give.
	// Operators that became one node give that of the last.
	Values map[string]int
	// Preamble and Head list the nodes before and after the homogeneous part, as
	// `name (operator)`, or the operator alone for unnamed ones.
	Preamble, Head []string
	// Warnings are remarks on the file that do not stop it from being used.
	Warnings []string

	file *wire.File
	// names are those of SetClasses, if named.
	names []string
	named bool
	path  string
	// tensors are the stored ones of two or more axes.
	tensors []*source.Tensor
}

// Read maps a file and reads the model in it. The Model must be closed. Errors:
// *InvalidError for what is no valid ONNX file, *UnsupportedError for a model
// that cannot be read as a network, and the operating system's error, with the
// path, for a file that cannot be read.
//
// The file must not change while the Model is in use; see [Model.Guard].
func Read(path string, opt Options) (*Model, error) {
	f, err := wire.Open(path)
	if err != nil {
		return nil, openError(path, err)
	}
	m, err := read(f, path, opt)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return m, nil
}

// Decode reads a model from bytes, which must not change while the Model is in
// use. External data cannot be read: use [Read]. Errors are those of Read.
func Decode(data []byte, opt Options) (*Model, error) {
	f, err := wire.Parse(data, wire.Options{})
	if err != nil {
		return nil, &InvalidError{Err: err}
	}
	return read(f, "", opt)
}

// Close unmaps the file. Net must not be used afterwards.
func (m *Model) Close() error { return m.file.Close() }

// Release says that the weights are not needed soon: the memory to which the
// file is mapped is given up beside what the caller does next. Net can be used as
// before.
func (m *Model) Release() { m.file.Release() }

// Path returns the file that the model was read from, empty for bytes.
func (m *Model) Path() string { return m.path }

// openError tells a file that cannot be read from one that is no model.
func openError(path string, err error) error {
	var sys *fs.PathError
	var w *wire.Error
	if errors.As(err, &w) && errors.Unwrap(w) != nil && !errors.As(err, &sys) {
		return &fs.PathError{Op: "open", Path: path, Err: errors.Unwrap(w)}
	}
	return &InvalidError{Path: path, Err: plain(err)}
}

// plain drops the parts of a wire.Error that the outer message repeats.
func plain(err error) error {
	var w *wire.Error
	if errors.As(err, &w) && w.File != "" {
		c := *w
		c.File = ""
		return &c
	}
	return err
}

// read turns an indexed file into a Model.
func read(f *wire.File, path string, opt Options) (m *Model, err error) {
	err = guard(f, path, func() error {
		m, err = decode(f, path, opt)
		return err
	})
	return m, err
}

func decode(f *wire.File, path string, opt Options) (*Model, error) {
	l, err := lower.Graph(f, lower.Options{InputShape: opt.InputShape, Whole: opt.Whole})
	if err != nil {
		return nil, &InvalidError{Path: path, Err: err}
	}
	if len(l.Obstacles) > 0 {
		e := &UnsupportedError{Path: path, Examples: l.Examples}
		for _, o := range l.Obstacles {
			e.Obstacles = append(e.Obstacles, Obstacle(o))
		}
		return nil, e
	}
	m := &Model{
		Net: l.Net, Batchless: l.Batchless, Mixed: l.Mixed, Unbatched: l.Unbatched, Warnings: l.Warnings,
		file: f, path: path, tensors: l.Tensors, Values: l.Values,
	}
	m.describe(f)
	return m, nil
}

// describe fills the fields of the Model that the file's header and the zones of the
// network give.
func (m *Model) describe(f *wire.File) {
	for i := range m.Net.Nodes {
		nd := &m.Net.Nodes[i]
		if _, ok := nd.Op.(dag.Input); ok {
			continue
		}
		switch nd.Zone {
		case dag.Preamble:
			m.Preamble = append(m.Preamble, shortLabel(nd))
		case dag.Head:
			m.Head = append(m.Head, shortLabel(nd))
		}
	}
	m.Producer = strings.TrimSpace(f.Model.ProducerName + " " + f.Model.ProducerVersion)
	m.IRVersion, m.Opset = f.Model.IRVersion, f.Model.Opset("")
	stored := map[string]bool{}
	for i := range f.Graph.Initializers {
		stored[f.Graph.Initializers[i].Name] = true
	}
	for i := range f.Graph.Inputs {
		in := &f.Graph.Inputs[i]
		if !stored[in.Name] {
			m.Inputs = append(m.Inputs, portInfo(in))
		}
	}
	for i := range f.Graph.Outputs {
		m.Outputs = append(m.Outputs, portInfo(&f.Graph.Outputs[i]))
	}
}

func shortLabel(nd *dag.Node) string {
	if nd.Name == "" {
		return nd.Source
	}
	return fmt.Sprintf("%s (%s)", nd.Name, nd.Source)
}

func portInfo(v *wire.ValueInfo) PortInfo {
	p := PortInfo{Name: v.Name, Type: v.Kind}
	if !v.Tensor {
		return p
	}
	p.Type = v.ElemType.String()
	for _, d := range v.Dims {
		n := -1
		if d.Known {
			n = int(d.Value)
		}
		p.Shape = append(p.Shape, n)
	}
	return p
}
