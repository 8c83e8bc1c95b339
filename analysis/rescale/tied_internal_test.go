package rescale

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// The systems of path with tied groups, against a factorisation of all of I - P.
func TestTiedSystems(t *testing.T) {
	rng := rand.New(rand.NewPCG(19, 0))
	for range 200 {
		n := 1 + rng.IntN(150)
		s, a := &system{cols: make([][]int32, n), vals: make([][]float64, n)}, mat.NewDense(n, n, nil)
		ahead := rng.Float64() // the share of rows that read what comes later
		for i := range n {
			a.Set(i, i, 1)
			back, columns := rng.Float64() < ahead, 1+rng.IntN(6)
			for range columns {
				j := rng.IntN(n)
				if !back {
					j = rng.IntN(i + 1)
				}
				if !back && j == i {
					continue
				}
				v := rng.Float64() / float64(columns) // rows have a sum below 1
				s.cols[i], s.vals[i] = append(s.cols[i], int32(j)), append(s.vals[i], v)
				a.Set(i, j, a.At(i, j)-v)
			}
			for _, j := range s.cols[i] {
				if int(j) >= i {
					s.back = append(s.back, i)
					break
				}
			}
		}
		for range 2 { // the second has the factors of the first
			b := make([]float64, n)
			for i := range b {
				b[i] = rng.NormFloat64()
			}
			var want mat.VecDense
			if err := want.SolveVec(a, mat.NewVecDense(n, b)); err != nil {
				t.Fatal(err)
			}
			for i, x := range s.solve(b) {
				// The condition is some thousands at most.
				if w := want.AtVec(i); math.Abs(x-w) > 1e-10*math.Max(1, math.Abs(w)) {
					t.Fatalf("%d rows, %d of them back: element %d is %g, want %g", n, len(s.back), i, x, w)
				}
			}
		}
	}
}
