// Package refusal says why a file cannot be read as a network: reasons and remedies that
// are raised at a node, where its place is not known yet.
package refusal
