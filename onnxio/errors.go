package onnxio

import (
	"fmt"
	"strings"

	"github.com/relupath/relupath/internal/words"
)

// Obstacle is one reason why a model cannot be read as a network.
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
	fmt.Fprintf(&b, "not supported, %s:", words.Count(len(e.Obstacles), "obstacle"))
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
