package disjoint_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/relupath/relupath/analysis/internal/disjoint"
)

// Sets are those of lists in which each number has the least of its set.
func TestSets(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 0))
	for range 100 {
		n := 1 + rng.IntN(40)
		s, least := disjoint.New(n), make([]int32, n)
		for i := range least {
			least[i] = int32(i)
		}
		for range rng.IntN(2 * n) {
			i, j := int32(rng.IntN(n)), int32(rng.IntN(n))
			s.Join(i, j)
			a, b := least[i], least[j]
			for k, x := range least {
				if x == max(a, b) {
					least[k] = min(a, b)
				}
			}
		}
		got := make([]int32, n)
		for i := range got {
			got[i] = s.Least(int32(i))
		}
		if !slices.Equal(got, least) {
			t.Fatalf("the least are %v, want %v", got, least)
		}
	}
}
