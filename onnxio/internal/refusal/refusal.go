package refusal

import "fmt"

// Node is an obstacle without its place, raised while lowering one node.
type Node struct {
	Reason, Remedy string
	// Limit says that the model asks for more than any file may.
	Limit bool
}

func (r *Node) Error() string { return r.Reason }

// New says why a node is refused, and what to do about it.
func New(remedy, format string, args ...any) error {
	return &Node{Reason: fmt.Sprintf(format, args...), Remedy: remedy}
}

// Exceeds is refuse for a model that asks for more than any file may: it is refused,
// whatever stands behind.
func Exceeds(remedy, format string, args ...any) error {
	return &Node{Reason: fmt.Sprintf(format, args...), Remedy: remedy, Limit: true}
}

// Batch is a refusal that goes away when the first axis is not taken as
// the batch.
type Batch struct {
	Reason string
	// At is the node that refuses, empty for an input or output.
	At string
}

func (b *Batch) Error() string { return b.Reason }

// MixesBatch says why the first axis cannot be the batch.
func MixesBatch(format string, args ...any) error {
	return &Batch{Reason: fmt.Sprintf(format, args...)}
}
