package spectral

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/kernel"
)

// hidden are matrices of whose largest singular value a copy in eight bits would have little, were it rounded to the
// nearest: all of it is in weights below half of a unit.
func hidden(rng *rand.Rand) []hard {
	const n, high, wide = 400, 250, 1200
	constant, columns, equal, badly, deficient := make([]float64, n*n), make([]float64, high*wide), make([]float64, n*n), make([]float64, n*n), make([]float64, n*n)
	for i := range n {
		for j := range n {
			constant[i*n+j] = 0.0035
			equal[i*n+j] = float64(i%7) + 1 + 1e-4*rng.NormFloat64()
			badly[i*n+j] = rng.NormFloat64() * math.Pow(10, -30*float64(i)/n)
		}
		constant[i*n+i] = 1
		copy(deficient[i*n:][:n], gaussian(n, 1, rng))
		if i > 0 {
			copy(deficient[i*n:][:n], deficient[(i%9)*n:][:n])
		}
	}
	// A diagonal, and columns of weights that are small in each row.
	for i := range high {
		d := 1 - 0.5*float64(i)/high
		columns[i*wide+i] = d
		for j := high; j < wide; j++ {
			columns[i*wide+j] = 0.0038 * d
		}
	}
	return []hard{
		{"a constant beside the identity", n, n, constant},
		{"columns below a unit", high, wide, columns},
		{"equal columns", n, n, equal},
		{"rows from 1 to 1e-30", n, n, badly},
		{"nine rows", n, n, deficient},
	}
}

// With a copy or without, and by any number of threads, the largest singular value is the same: gonum's.
func TestRough(t *testing.T) {
	weights, side := roughWeights, roughSide
	roughWeights, roughSide = 0, small+1
	defer func() { roughWeights, roughSide = weights, side }()
	rng := rand.New(rand.NewPCG(9, 9))
	every := 3
	if testing.Short() {
		every = 9
	}
	cases := hidden(rng)
	for i, c := range slices.Concat(structured(rng), clustersOf(rng)) {
		if i%every == 0 {
			cases = append(cases, c)
		}
	}
	for _, shape := range [][2]int{{300, 300}, {200, 700}, {900, 150}} {
		for _, scale := range []float64{1e-30, 1e-10, 1, 1e10, 1e30} {
			a := gaussian(shape[0], shape[1], rng)
			for i := range a {
				a[i] *= scale
			}
			cases = append(cases, hard{fmt.Sprintf("normal, %v times %g", shape, scale), shape[0], shape[1], a})
		}
	}
	rough := 0
	for _, c := range cases {
		single := make([]float32, len(c.a))
		for i, x := range c.a {
			single[i] = float32(x)
			c.a[i] = float64(single[i])
		}
		m := dense(c.rows, c.cols, c.a)
		want := Values(m, blas.Gonum())[0]
		m.Single = single
		for seed := range 2 {
			got, err := Norm(context.Background(), m, Options{Seed: uint64(seed)})
			if err != nil {
				t.Fatal(err)
			}
			if off := math.Abs(got.Sigma-want) / want; !(off <= 1e-8 && got.Bound <= 1e-8 && got.Missed <= 1e-10) {
				t.Errorf("%s, seed %d: %+v, off by %.2g", c.name, seed, got, off)
			}
			if got.Reads <= mostCorrections+1 {
				rough++
			}
			if again, _ := Norm(context.Background(), m, Options{Seed: uint64(seed), Threads: 3}); again != got {
				t.Errorf("%s, seed %d: %+v on three threads, %+v on one", c.name, seed, again, got)
			}
		}
	}
	t.Logf("%d of %d by a copy or in as few reads", rough, 2*len(cases))
	if kernel.HasRough() && rough < len(cases)/4 {
		t.Errorf("of %d only %d by a copy", 2*len(cases), rough)
	}
}
