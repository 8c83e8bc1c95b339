package wire

import (
	"fmt"
	"strings"
)

// Error says what is wrong with a file and where.
type Error struct {
	// File is the name of the file, empty for bytes.
	File string
	// Path is the place in the message, such as graph.node[3].attribute[0];
	// empty for the whole file.
	Path string
	// Offset is where in the file the place is, in bytes; -1 when the message
	// concerns no single place.
	Offset int64
	// Msg is one sentence.
	Msg string

	cause error
}

// Unwrap returns the operating system's error, if there is one.
func (e *Error) Unwrap() error { return e.cause }

// Error returns `wire: m.onnx: graph.node[3] at byte 120: message`.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("wire: ")
	if e.File != "" {
		b.WriteString(e.File + ": ")
	}
	switch {
	case e.Path != "" && e.Offset >= 0:
		fmt.Fprintf(&b, "%s at byte %d: ", e.Path, e.Offset)
	case e.Path != "":
		b.WriteString(e.Path + ": ")
	case e.Offset > 0:
		fmt.Fprintf(&b, "byte %d: ", e.Offset)
	}
	b.WriteString(e.Msg)
	return b.String()
}

// within prefixes the place of an error with the field that it lies in.
func (e *Error) within(name string, index int) *Error {
	if index >= 0 {
		name = fmt.Sprintf("%s[%d]", name, index)
	}
	if e.Path != "" {
		name += "." + e.Path
	}
	e.Path = name
	return e
}
