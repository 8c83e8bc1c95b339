// Package dagtest makes random small networks for tests, evaluates them one
// unit at a time, and unrolls them into single edges, so that what works on
// layers can be checked against definitions on units.
package dagtest
