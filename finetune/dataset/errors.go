package dataset

import (
	"fmt"
	"strings"
)

// SpecError says that a data spec is not well formed: wrong usage, not wrong
// data.
type SpecError struct {
	// Spec is the text as given.
	Spec string
	// Problem says what is wrong, Remedy what to write instead.
	Problem, Remedy string
}

// Error returns `dataset: spec "mnits:data": problem: remedy`.
func (e *SpecError) Error() string {
	return join(fmt.Sprintf("dataset: spec %q", e.Spec), e.Problem, e.Remedy)
}

// DataError says that a file cannot be used.
type DataError struct {
	// File is the path, with the array's or the variable's name behind it where
	// the file holds several.
	File string
	// Where is the place in the file, such as "record 17", or empty.
	Where string
	// Problem says what was found and what was wanted, Remedy what to do.
	Problem, Remedy string
	// Err is the cause, or nil.
	Err error
}

// wrong is the error for a place in a file, or for the file where that is empty.
func wrong(file, where, problem, remedy string) *DataError {
	return &DataError{File: file, Where: where, Problem: problem, Remedy: remedy}
}

// because adds the cause.
func (e *DataError) because(err error) *DataError {
	e.Err = err
	return e
}

// Error returns `dataset: FILE: where: problem: cause: remedy`.
func (e *DataError) Error() string {
	cause := ""
	if e.Err != nil {
		cause = e.Err.Error()
	}
	return join("dataset: "+e.File, e.Where, e.Problem, cause, e.Remedy)
}

// Unwrap returns the cause.
func (e *DataError) Unwrap() error { return e.Err }

// join strings the parts that are not empty together with colons.
func join(parts ...string) string {
	kept := parts[:0]
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, ": ")
}

// record names a place by its record's number.
func record(i int) string { return fmt.Sprintf("record %d", i) }
