package rescale

import (
	"math"
	"math/rand/v2"
	"runtime/debug"
	"testing"

	"github.com/relupath/relupath/analysis/dag/dagtest"
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

func logDet(a mat.Matrix) float64 {
	l, _ := mat.LogDet(a)
	return l
}

// Parts of groups read no later ones, and solved one after the other they give what a factorisation of all of
// I - P does.
func TestTiedParts(t *testing.T) {
	split, joint := 0, 0
	for seed := range uint64(400) {
		n := dagtest.FromSeed(seed, dagtest.Options{Features: dagtest.Conv | dagtest.Skip | dagtest.Bias, Steps: 20, Width: 6})
		v, err := newView(n, n.Groups(), 2, Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		p := newTied(v, 2)
		res := p.choose(0)
		a := mat.NewDense(max(1, len(p.x)), max(1, len(p.x)), nil)
		c, loops := p.chosen(), false
		for g := range p.x {
			a.Set(g, g, 1)
			for _, row := range p.free[g] {
				for _, j := range p.rows[row].cols {
					if p.part[j] > p.part[g] {
						t.Fatalf("seed %d: group %d reads %d of a later part", seed, g, j)
					}
				}
			}
			c.row(int32(g), func(j int32, d float64) {
				a.Set(g, int(j), a.At(g, int(j))-d)
				loops = loops || int(j) >= g
			})
		}
		if loops && len(p.parts) > 1 {
			split++
		}
		for _, part := range p.parts {
			if len(part) > 1 {
				joint++
			}
		}
		if len(p.x) == 0 || logDet(a) < -10 {
			continue // few digits are left of a system that is all but singular
		}
		var want mat.VecDense
		if err := want.SolveVec(a, mat.NewVecDense(len(res), res)); err != nil {
			t.Fatal(err)
		}
		for g, x := range c.solve(res) {
			if w := want.AtVec(g); math.Abs(x-w) > 1e-8*math.Max(1, math.Abs(w)) {
				t.Fatalf("seed %d: group %d has %g, want %g", seed, g, x, w)
			}
		}
	}
	if split < 20 || joint < 20 {
		t.Errorf("%d networks with cycles in one of several parts, %d parts of several groups", split, joint)
	}
}

// Chains of groups and rings may be as long as a network has units: no stack grows with them.
func TestTiedPartsDeep(t *testing.T) {
	defer debug.SetMaxStack(debug.SetMaxStack(1 << 20))
	const n = 1 << 16
	for _, ring := range []bool{false, true} {
		p := &tied{x: make([]float64, n)}
		for g := range int32(n) {
			p.free = append(p.free, []int{int(g)})
			p.rows = append(p.rows, tiedRow{cols: []int32{(g + 1) % n}})
		}
		want := 1
		if !ring {
			p.rows[n-1].cols = nil
			want = n
		}
		if p.findParts(); len(p.parts) != want {
			t.Errorf("ring %v: %d parts, want %d", ring, len(p.parts), want)
		}
		if !ring && p.parts[0][0] != n-1 {
			t.Errorf("the first part is %d, but the last group reads nothing", p.parts[0][0])
		}
	}
}
