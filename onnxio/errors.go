package onnxio

import (
	"fmt"
	"strings"
)

// Obstacle is one reason why a model cannot be taken as a positively
// homogeneous network.
type Obstacle struct {
	// Node is the operator's name in the file, or "#k" for the k-th unnamed one.
	Node string
	// Op is the operator, with its domain when that is not the standard one.
	Op string
	// Reason says what is wrong, Remedy what to do about it.
	Reason, Remedy string
}

// String returns `node "fc2" (Gemm): reason: remedy`.
func (o Obstacle) String() string {
	s := o.Reason
	if o.Node != "" {
		s = fmt.Sprintf("node %q (%s): %s", o.Node, o.Op, o.Reason)
	}
	if o.Remedy != "" {
		s += ": " + o.Remedy
	}
	return s
}

// UnsupportedError lists every obstacle found in a model, in file order.
type UnsupportedError struct {
	// Path is the file, empty for bytes.
	Path      string
	Obstacles []Obstacle
	// Examples are shapes for Options.InputShape with which the model can be read, where
	// all that stops it is that shapes are left open: two that differ in every open
	// extent, where two were found. They name every input that lacks a shape.
	Examples []map[string][]int
}

// maxListed is how many obstacles a message lists.
const maxListed = 10

// Error lists up to ten obstacles, one a line.
func (e *UnsupportedError) Error() string {
	var b strings.Builder
	b.WriteString("onnxio: ")
	if e.Path != "" {
		b.WriteString(e.Path + ": ")
	}
	if len(e.Obstacles) == 1 {
		b.WriteString("not supported: " + e.Obstacles[0].String())
		return b.String()
	}
	fmt.Fprintf(&b, "not supported, %d obstacles:", len(e.Obstacles))
	for i, o := range e.Obstacles {
		if i == maxListed {
			fmt.Fprintf(&b, "\n  and %d more", len(e.Obstacles)-maxListed)
			break
		}
		b.WriteString("\n  " + o.String())
	}
	return b.String()
}

// InvalidError is a file that is no valid ONNX model.
type InvalidError struct {
	// Path is the file, empty for bytes.
	Path string
	Err  error
}

// Error returns the path and the cause.
func (e *InvalidError) Error() string {
	cause := e.Err.Error()
	for _, inner := range []string{"wire: ", "topology: ", "dag: "} {
		cause = strings.TrimPrefix(cause, inner)
	}
	if e.Path == "" {
		return "onnxio: invalid model: " + cause
	}
	return fmt.Sprintf("onnxio: %s: invalid model: %s", e.Path, cause)
}

// Unwrap returns the cause.
func (e *InvalidError) Unwrap() error { return e.Err }

// refusal is an obstacle without its place, raised while lowering one node.
type refusal struct {
	reason, remedy string
	// limit says that the model asks for more than any file may.
	limit bool
}

func (r *refusal) Error() string { return r.reason }

func refuse(remedy, format string, args ...any) error {
	return &refusal{reason: fmt.Sprintf(format, args...), remedy: remedy}
}

// exceeds is refuse for a model that asks for more than any file may: it is refused,
// whatever stands behind.
func exceeds(remedy, format string, args ...any) error {
	return &refusal{reason: fmt.Sprintf(format, args...), remedy: remedy, limit: true}
}

// batchError is a refusal that goes away when the first axis is not taken as
// the batch.
type batchError struct {
	reason string
	// at is the node that refuses, empty for an input or output.
	at string
}

func (b *batchError) Error() string { return b.reason }

func mixesBatch(format string, args ...any) error {
	return &batchError{reason: fmt.Sprintf(format, args...)}
}
