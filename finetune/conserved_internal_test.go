package finetune

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
)

// What a law counts is what a factor multiplies: on random networks of all structures a factor c
// makes ||in||^2 + b^2 c^2 times as large and ||out||^2 c^-2 times.
func TestLawsCountWhatFactorsScale(t *testing.T) {
	const features = dagtest.Bias | dagtest.Skip | dagtest.Concat | dagtest.Slope | dagtest.Conv | dagtest.Pool | dagtest.Select | dagtest.Outputs
	counted := 0
	for seed := range uint64(100) {
		n := dagtest.FromSeed(seed, dagtest.Options{Features: features, Type: dag.Float64})
		rng := rand.New(rand.NewPCG(seed, 3))
		g := n.Groups()
		c := g.Ones()
		for id, pin := range g.Pin {
			if pin == "" {
				c[id] = math.Exp(rng.NormFloat64())
			}
		}
		for id, pin := range g.Pin {
			if pin != "" {
				continue
			}
			one := g.Ones()
			one[id] = c[id]
			m, err := n.Rescale(g, one)
			if err != nil {
				t.Fatal(err)
			}
			before, size := laws(n)
			after, _ := laws(m)
			in, out := (size[id]+before[id])/2, (size[id]-before[id])/2
			want := in*c[id]*c[id] - out/(c[id]*c[id])
			if size[id] != size[id] || after[id] != after[id] {
				continue
			}
			counted++
			if math.Abs(after[id]-want) > 1e-9*(in*c[id]*c[id]+out/(c[id]*c[id])) {
				t.Fatalf("seed %d, group %d: %v, want %v\n%s", seed, id, after[id], want, n)
			}
		}
	}
	if counted < 100 {
		t.Errorf("%d laws looked at", counted)
	}
}
