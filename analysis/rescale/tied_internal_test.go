package rescale

import (
	"context"
	"math"
	"math/rand/v2"
	"runtime/debug"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"gonum.org/v1/gonum/mat"
)

// The systems of path with tied groups, factorised and by iteration, against a factorisation of all of I - P.
func TestTiedSystems(t *testing.T) {
	rng := rand.New(rand.NewPCG(19, 0))
	for range 200 {
		n, most := 1+rng.IntN(150), 1+rng.IntN(2)*5 // rows of one entry, or of some
		s, a := newSystem(n, mostDense), mat.NewDense(n, n, nil)
		ahead := rng.Float64() // the share of rows that read what comes later
		for i := range n {
			diag := 1 + rng.Float64()
			a.Set(i, i, diag)
			back, columns := rng.Float64() < ahead, 1+rng.IntN(most)
			var cols []int32
			var vals []float64
			for range columns {
				j := rng.IntN(n)
				if !back {
					j = rng.IntN(i + 1)
				}
				if !back && j == i {
					continue
				}
				v := rng.Float64() / float64(columns) // rows have a sum below 1
				cols, vals = append(cols, int32(j)), append(vals, v)
				a.Set(i, j, a.At(i, j)-v)
			}
			s.put(i, diag, cols, vals)
		}
		for round := range 3 { // the second has the factors of the first
			if round == 2 {
				s.most, s.lu = 0, nil
			}
			b := make([]float64, n)
			for i := range b {
				b[i] = rng.NormFloat64()
			}
			var want mat.VecDense
			if err := want.SolveVec(a, mat.NewVecDense(n, b)); err != nil {
				t.Fatal(err)
			}
			got, residual := s.solve(b)
			if residual > 1e-13 { // rounding of numbers of about 1
				t.Fatalf("%d rows, %d of them back: the residual is %g", n, len(s.back), residual)
			}
			for i, x := range got {
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

// tiedOf is path's problem of a random network, if some group has several units; parts whose systems take more
// multiplications than most are solved by iteration.
func tiedOf(t *testing.T, n *dag.Network, p, most float64) *tied {
	t.Helper()
	v := newLightView(n, n.Groups(), p, Options{P: p, Threads: 1})
	if v.alone() {
		return nil
	}
	if err := v.begin(p, 1); err != nil {
		t.Fatal(err)
	}
	s := newTied(v, p)
	s.sizes(most)
	return s
}

// What path ends with holds for all rows, and a little less holds for none: whatever bounds it took on its way,
// by factors or by iteration, and whatever did not converge.
func TestTiedIsLeast(t *testing.T) {
	large := 0
	for seed := range uint64(1500) {
		opt := dagtest.Options{Features: dagtest.Conv | dagtest.Skip | dagtest.Shared | dagtest.Bias, Steps: 12, Width: 4 + int(seed%5), Type: dag.Float64}
		if seed%2 == 0 {
			opt.Features = dagtest.Conv | dagtest.Skip
		}
		n := dagtest.FromSeed(seed, opt)
		p := []float64{1, 2, math.Inf(1)}[seed%3]
		var least float64
		for _, most := range []float64{mostDense, 0, 300} {
			s := tiedOf(t, n, p, most)
			if s == nil {
				break
			}
			if err := s.solve(context.Background()); err != nil {
				t.Fatalf("seed %d, p %g: %v", seed, p, err)
			}
			if len(s.x) == 0 {
				break
			}
			if s.anyLarge {
				large++
			}
			// Bounds hold to 1e-13, and the search ends within 1e-12; so does what it would fall back on.
			hold := func(mu float64) {
				for g, rows := range s.free {
					if _, l := s.top(rows); l-mu-s.x[g] > 1e-12*size(mu) {
						t.Errorf("seed %d, p %g, most %g: group %d is %g over its bound", seed, p, most, g, l-mu-s.x[g])
					}
				}
				s.ends(func(l float64, _ func(func(int32, float64))) {
					if l-mu > 1e-12*size(mu) {
						t.Errorf("seed %d, p %g, most %g: an end is %g over its bound", seed, p, most, l-mu)
					}
				})
			}
			hold(s.mu)
			if mu := s.holds; s.recall(mu) && !math.IsInf(mu, 1) {
				hold(mu)
			}
			if most == mostDense {
				least = s.mu
			} else if far := s.mu - least; math.Abs(far) > 1e-11*size(least) {
				t.Errorf("seed %d, p %g: ln c of %g, by iteration (most %g) %g more", seed, p, least, most, far)
			}
			if mu := s.mu - 1e-9*size(s.mu) - math.Log1p(s.delta); mu > -1e3 && s.least(mu) {
				t.Errorf("seed %d, p %g, most %g: ln c of %g is not the least (infimum %v)", seed, p, most, s.mu, s.infimum)
			}
		}
	}
	if large < 200 {
		t.Errorf("only %d networks were solved by iteration", large)
	}
}

// Parts of groups read no later ones, and solved one after the other they give what a factorisation of all of
// I - P does.
func TestTiedParts(t *testing.T) {
	split, joint := 0, 0
	for seed := range uint64(400) {
		n := dagtest.FromSeed(seed, dagtest.Options{Features: dagtest.Conv | dagtest.Skip | dagtest.Bias, Steps: 20, Width: 6})
		p := tiedOf(t, n, 2, 0)
		if p == nil {
			continue
		}
		// A little above the gains of cycles, where systems have digits left.
		mu := 0.1
		for k := range p.parts {
			mu = math.Max(mu, p.gain(&p.parts[k], 50)+0.1)
		}
		values := make([]float64, len(p.x))
		if _, ok := p.pass(mu, nil, values); !ok {
			t.Fatalf("seed %d: no x above the gains of cycles", seed)
		}
		a, loops := mat.NewDense(max(1, len(p.x)), max(1, len(p.x)), nil), false
		res, ones := mat.NewVecDense(max(1, len(p.x)), nil), mat.NewVecDense(max(1, len(p.x)), nil)
		for g := range p.x {
			a.Set(g, g, 1)
			if len(p.free[g]) == 0 {
				continue
			}
			res.SetVec(g, values[g]-mu-p.x[g])
			ones.SetVec(g, 1)
			for _, row := range p.free[g] {
				for _, j := range p.rows[row].cols {
					if p.part[j] > p.part[g] {
						t.Fatalf("seed %d: group %d reads %d of a later part", seed, g, j)
					}
					loops = loops || int(j) >= g
				}
			}
			p.slopes(p.free[g][p.choice[g]], values[g], func(j int32, d float64) { a.Set(g, int(j), a.At(g, int(j))-d*(1-leak)) })
		}
		if loops && len(p.parts) > 1 {
			split++
		}
		for _, part := range p.parts {
			if len(part.groups) > 1 {
				joint++
			}
		}
		if l, _ := mat.LogDet(a); len(p.x) == 0 || l < -10 {
			continue // few digits are left of a system that is all but singular
		}
		u, w, _, _ := p.tangents(mu, values)
		for _, c := range []struct {
			got  []float64
			want *mat.VecDense
		}{{u, res}, {w, ones}} {
			var want mat.VecDense
			if err := want.SolveVec(a, c.want); err != nil {
				t.Fatal(err)
			}
			for g, x := range c.got {
				if w := want.AtVec(g); math.Abs(x-w) > 1e-8*math.Max(1, math.Abs(w)) {
					t.Fatalf("seed %d: group %d has %g, want %g", seed, g, x, w)
				}
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
		if !ring && p.parts[0].groups[0] != n-1 {
			t.Errorf("the first part is %d, but the last group reads nothing", p.parts[0].groups[0])
		}
	}
}
