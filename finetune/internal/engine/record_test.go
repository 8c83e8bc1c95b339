package engine_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/finetune/internal/engine"
	"github.com/relupath/relupath/finetune/internal/geometry"
	"github.com/relupath/relupath/finetune/internal/optim"
	"github.com/relupath/relupath/finetune/internal/pool"
	"github.com/relupath/relupath/finetune/internal/program"
)

var update = flag.Bool("update", false, "write testdata/steps.json anew")

// steps is what testdata/steps.json holds of one run: the losses and the
// trained tensors of five steps. It was written by an engine whose derivatives
// were worked out by hand, one layer at a time.
type steps struct {
	Case    string
	Losses  []float64
	Tensors [][]float64
}

// run is a random network with random options.
type run struct {
	net  *dag.Network
	typ  dag.DType
	rule optim.Rule
	mu   float64
	drop float64
	loss engine.Loss
	seed uint64
}

func (r *run) String() string {
	return fmt.Sprintf("%d %v %+v mu=%v dropout=%v %+v", r.seed, r.typ, r.rule, r.mu, r.drop, r.loss)
}

// drawRun draws a run; nil where its network cannot be trained.
func drawRun(seed uint64) *run {
	rng := rand.New(rand.NewPCG(seed, 7))
	r := &run{seed: seed, typ: dag.Float32}
	if rng.IntN(2) == 1 {
		r.typ = dag.Float64
	}
	r.net = dagtest.FromSeed(seed, dagtest.Options{Features: dagtest.All &^ (dagtest.Inputs | dagtest.Outputs), Type: r.typ, Zeros: 0.05})
	p, err := program.Compile[float64](r.net, program.Options{})
	if err != nil {
		return nil
	}
	pick := func(v ...float64) float64 { return v[rng.IntN(len(v))] }
	// AdaGrad's epsilon is large: some derivatives are zero but for rounding.
	r.rule = optim.Rule{Kind: optim.Kind(rng.IntN(4)), P: pick(1, 2, 2, 3), Epsilon: 1e-3, Decay: pick(0, 0.1), MaxNorm: pick(0, 0, 1.5)}
	r.mu, r.drop = pick(0, 0, 0.9), pick(0, 0, 0.25)
	r.rule.Momentum = r.mu > 0
	if pen := pick(0, 0, 1e-3); pen > 0 && !geometry.New(p, geometry.Options{P: 2, BLAS: blas.Find()}).Folded() {
		r.rule.PathPenalty = pen
	}
	r.loss = []engine.Loss{{}, {Kind: engine.Truncated, Margin: 0.5}, {Kind: engine.Squared}}[rng.IntN(3)]
	return r
}

// do does five steps, of full and of partial batches.
func do[T program.Float](t *testing.T, r *run) steps {
	t.Helper()
	p, err := program.Compile[T](r.net, program.Options{Dropout: r.drop > 0})
	if err != nil {
		t.Fatal(err)
	}
	pl := pool.New(2)
	defer pl.Close()
	lib := blas.Find()
	const batch = 4
	o := optim.New(p, r.rule, geometry.New(p, geometry.Options{P: r.rule.P, BLAS: lib, Pool: pl}), pl)
	o.Eta, o.Eta0, o.Mu = 1e-3, 1e-3, r.mu
	e := engine.New(p, o, engine.Options{Batch: batch, Loss: r.loss, Dropout: r.drop, BLAS: lib, Pool: pl})
	out := steps{Case: r.String()}
	rng := rand.New(rand.NewPCG(r.seed, 8))
	for step, n := range []int{batch, batch, 3, 1, batch} {
		b := &engine.Batch[T]{N: n, X: make([]T, n*p.Values[p.Input].Len), Seed: r.seed, Step: uint64(step)}
		for i := range b.X {
			b.X[i] = T(rng.NormFloat64())
		}
		for range n {
			b.Labels = append(b.Labels, rng.IntN(max(2, p.Values[p.Logits].Len)))
		}
		s, err := e.Step(b)
		if err != nil {
			t.Fatal(err)
		}
		out.Losses = append(out.Losses, s.Loss)
	}
	for _, x := range p.Tensors {
		var v []float64
		if !x.Frozen {
			for _, w := range x.Data {
				v = append(v, float64(w))
			}
		}
		out.Tensors = append(out.Tensors, v)
	}
	return out
}

// TestRecordedSteps: steps of random networks, with every optimizer, penalty and
// loss, dropout and batches that are not full, are those of testdata/steps.json.
func TestRecordedSteps(t *testing.T) {
	const file = "testdata/steps.json"
	var want []steps
	if !*update {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatal(err)
		}
	}
	var lines []string
	for seed, at := uint64(0), 0; seed < 70; seed++ {
		r := drawRun(seed)
		if r == nil {
			continue
		}
		got := do[float32]
		tolerance, digits := 1e-5, 24 // of the largest number of a tensor
		if r.typ == dag.Float64 {
			got, tolerance, digits = do[float64], 1e-12, 53
		}
		s := got(t, r)
		if *update {
			lines = append(lines, s.json(digits))
			continue
		}
		if at >= len(want) {
			t.Fatal("testdata/steps.json holds other runs: has the generator of networks changed?")
		}
		compareSteps(t, s, want[at], tolerance)
		at++
	}
	if *update {
		if err := os.WriteFile(file, []byte("[\n"+strings.Join(lines, ",\n")+"\n]\n"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// json writes a run with as many digits as its type has.
func (s steps) json(bits int) string {
	if bits == 24 {
		round := func(v []float64) {
			for i, x := range v {
				_, _ = fmt.Sscan(fmt.Sprintf("%.9g", x), &v[i])
			}
		}
		for _, v := range s.Tensors {
			round(v)
		}
		round(s.Losses)
	}
	raw, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(raw)
}

func compareSteps(t *testing.T, got, want steps, tolerance float64) {
	t.Helper()
	if got.Case != want.Case {
		t.Fatalf("testdata/steps.json has %s, this is %s: has the generator of networks changed?", want.Case, got.Case)
	}
	near := func(what string, a, b []float64) {
		most := 1.0
		for _, v := range b {
			most = math.Max(most, math.Abs(v))
		}
		for i := range b {
			if !(math.Abs(a[i]-b[i]) <= tolerance*most) && a[i] != b[i] {
				t.Errorf("%s: %s[%d] is %v, want %v", got.Case, what, i, a[i], b[i])
				return
			}
		}
	}
	near("loss", got.Losses, want.Losses)
	for k := range want.Tensors {
		if len(got.Tensors[k]) != len(want.Tensors[k]) {
			t.Fatalf("%s: tensor %d has %d numbers, want %d", got.Case, k, len(got.Tensors[k]), len(want.Tensors[k]))
		}
		near(fmt.Sprintf("tensor %d", k), got.Tensors[k], want.Tensors[k])
	}
}
