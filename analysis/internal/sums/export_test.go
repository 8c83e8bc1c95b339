package sums

import "math"

// Poisoned has every list in memory and writes NaNs over what is freed, until undo is called.
func Poisoned() (undo func()) {
	before := short
	short = 1
	poison = func(g []float64) {
		for i := range g {
			g[i] = math.NaN()
		}
	}
	return func() { short, poison = before, nil }
}

// WithRoom makes products in tiles take room for n numbers at a time, until undo is called.
func WithRoom(n int) (undo func()) {
	before := tiledRoom
	tiledRoom = n
	return func() { tiledRoom = before }
}
