package onnxio

import "fmt"

// refusal is an obstacle without its place, raised while lowering one node.
type refusal struct {
	reason, remedy string
	// limit says that the model asks for more than any file may.
	limit bool
}

func (r *refusal) Error() string { return r.reason }

// refuse says why a node is refused, and what to do about it.
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

// mixesBatch says why the first axis cannot be the batch.
func mixesBatch(format string, args ...any) error {
	return &batchError{reason: fmt.Sprintf(format, args...)}
}
