//go:build !cuda

package gorgonia

import G "gorgonia.org/gorgonia"

// where is what the name of the engine ends in.
func where(blas string) (string, error) { return blas, nil }

// newMachine compiles a graph for the CPU.
func newMachine(g *G.ExprGraph) (G.VM, error) { return G.NewTapeMachine(g), nil }
