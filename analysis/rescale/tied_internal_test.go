package rescale

import (
	"math"
	"math/rand/v2"
	"testing"

	"gonum.org/v1/gonum/mat"
)

// The systems of path with tied groups, factorised and by iteration, against a factorisation of all of I - P.
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
		for round := range 3 { // the second has the factors of the first
			if round == 2 {
				s.terms = math.MaxInt
			}
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

// Near c* a cycle without inputs leaves I - P all but singular: the ratio of two solutions is what counts.
func TestGMRESSingular(t *testing.T) {
	rng := rand.New(rand.NewPCG(20, 0))
	for range 50 {
		n := 2 + rng.IntN(60)
		p := mat.NewDense(n, n, nil)
		for i := range n {
			row := p.RawRowView(i)
			sum := 0.0
			for j := range row {
				row[j] = rng.Float64()
				sum += row[j]
			}
			for j := range row {
				row[j] *= (1 - leak) / sum
			}
		}
		times := func(dst, x []float64) {
			y := mat.NewVecDense(n, dst)
			y.MulVec(p, mat.NewVecDense(n, x))
			for i := range dst {
				dst[i] = x[i] - dst[i]
			}
		}
		b, ones := make([]float64, n), make([]float64, n)
		for i := range b {
			b[i], ones[i] = rng.NormFloat64(), 1
		}
		// The solutions are all but multiples of ones: by the weights of the invariant distribution.
		q := mat.NewVecDense(n, nil)
		for i := range n {
			q.SetVec(i, 1/float64(n))
		}
		for range 200 {
			var next mat.VecDense
			next.MulVec(p.T(), q)
			next.ScaleVec(1/mat.Sum(&next), &next)
			q.CopyVec(&next)
		}
		want := mat.Dot(q, mat.NewVecDense(n, b))
		got := gmres(b, times)[0] / gmres(ones, times)[0]
		// Rounding, 1e-16, moves what leak leaves by a thousandth, alike in both but for single operations: 2e-4 was
		// the most.
		if math.Abs(got-want) > 2e-3 {
			t.Fatalf("%d rows: the ratio is %g, want %g", n, got, want)
		}
	}
}
