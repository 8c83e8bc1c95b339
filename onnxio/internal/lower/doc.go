// Package lower turns the graph of a file into a network: each operator by domain, name
// and version (operators.go has the table, a file each family), constants folded, layers,
// caps, functions and products as they are in the network. What cannot be lowered is an
// obstacle with its place; all obstacles of a file are found.
package lower
