package analysis

import (
	"math/rand/v2"
	"testing"
)

// Elements chosen from stretches are those chosen from a list of all, and a transposed matrix is a stretch
// for each of its rows.
func TestSelectedStretches(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	list := func(s []stretch) (out [][2]int) {
		for _, x := range s {
			for e := range x.n {
				if x.node < 0 {
					out = append(out, [2]int{-1, 0})
				} else {
					out = append(out, [2]int{x.node, x.at + e*x.step})
				}
			}
		}
		return out
	}
	for range 1000 {
		var from []stretch
		for range 1 + rng.IntN(4) {
			from = append(from, stretch{rng.IntN(3) - 1, rng.IntN(5), rng.IntN(6), rng.IntN(3)})
		}
		all := list(from)
		index := make([]int32, rng.IntN(20))
		at := rng.IntN(len(all) + 1)
		for k := range index {
			if at += 1 + rng.IntN(4)/3; rng.IntN(6) == 0 {
				at = rng.IntN(len(all) + 1)
			}
			index[k] = int32(at%(len(all)+1)) - 1
		}
		got := list(selected(from, index))
		for k, e := range index {
			want := [2]int{-1, 0}
			if e >= 0 {
				want = all[e]
			}
			if len(got) != len(index) || got[k] != want {
				t.Fatalf("%v of %v: %v, want %v at %d", index, from, got, want, k)
			}
		}
	}
	const rows, cols = 50, 70
	turned := make([]int32, rows*cols)
	for k := range turned {
		turned[k] = int32(k%rows*cols + k/rows)
	}
	if got := selected([]stretch{{3, 0, rows * cols, 1}}, turned); len(got) != cols {
		t.Errorf("%d stretches, want %d", len(got), cols)
	}
}
