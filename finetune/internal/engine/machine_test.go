package engine

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"

	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/finetune/internal/geometry"
	"github.com/relupath/relupath/finetune/internal/optim"
	"github.com/relupath/relupath/finetune/internal/pool"
	"github.com/relupath/relupath/finetune/internal/program"
)

// compiled is the program of a random network; nil where it cannot be trained.
func compiled(seed uint64) *program.Program[float64] {
	p, err := program.Compile[float64](dagtest.FromSeed(seed, dagtest.Options{
		Features: dagtest.All &^ (dagtest.Inputs | dagtest.Outputs), Type: dag.Float64,
	}), program.Options{Dropout: true})
	if err != nil {
		return nil
	}
	return p
}

func examples(p *program.Program[float64], n int) *Batch[float64] {
	rng := rand.New(rand.NewPCG(5, uint64(n)))
	b := &Batch[float64]{N: n, X: make([]float64, n*p.Values[p.Input].Len), Seed: 2, Step: 3}
	for i := range b.X {
		b.X[i] = rng.NormFloat64()
	}
	for range n {
		b.Labels = append(b.Labels, rng.IntN(max(2, p.Values[p.Logits].Len)))
	}
	return b
}

// TestTapeMachine: Gorgonia's own machine, which knows nothing of plans, of memory
// that is used again or of sums that are fused, gives the same derivatives on the
// same graph.
func TestTapeMachine(t *testing.T) {
	if G.CUDA {
		t.Skip("Gorgonia built with CUDA adds on the device only")
	}
	const batch = 3
	for seed := range uint64(150) {
		p := compiled(seed)
		if p == nil {
			continue
		}
		e := New(p, nil, Options{Batch: batch, Dropout: 0.25, BLAS: blas.Find(), Pool: pool.New(1)})
		b := examples(p, batch)
		grads := make([][]float64, len(p.Tensors))
		for t, x := range p.Tensors {
			grads[t] = make([]float64, len(x.Data))
		}
		stats, err := e.Gradient(b, grads)
		if err != nil {
			t.Fatal(err)
		}
		got := map[*G.Node]*G.Value{}
		for n, x := range e.machine.given {
			if err := G.Let(n, tensor.New(tensor.WithShape(n.Shape()...), tensor.WithBacking((*x)[:n.Shape().TotalSize()]))); err != nil {
				t.Fatal(err)
			}
		}
		for n, at := range e.derive.at {
			for k := range e.grads {
				if at.given == &e.grads[k] {
					v := new(G.Value)
					G.Read(n, v)
					got[n] = v
				}
			}
		}
		vm := G.NewTapeMachine(e.graph)
		e.batch = b
		if err := vm.RunAll(); err != nil {
			t.Fatal(err)
		}
		if e.stats != stats {
			t.Fatalf("seed %d: %+v, the tape machine has %+v", seed, stats, e.stats)
		}
		for n, v := range got {
			want := (*v).Data().([]float64)
			for i, g := range *e.derive.at[n].given {
				// Sums of a few terms, in another order where they are fused.
				if !(math.Abs(g-want[i]) <= 1e-12*(1+math.Abs(want[i]))) {
					t.Fatalf("seed %d: %v[%d] is %v, the tape machine has %v\n%v", seed, n, i, g, want[i], p.Net)
				}
			}
		}
		_ = vm.Close()
	}
}

// TestMemory: values that are alive at the same time do not share memory: what
// every instruction reads is what was written. Each value is marked when it is
// made and looked at when it is read.
func TestMemory(t *testing.T) {
	for seed := range uint64(300) {
		p := compiled(seed)
		if p == nil {
			continue
		}
		rule := optim.New(p, optim.Rule{Kind: optim.AdaGrad, Momentum: true}, nil, nil)
		e := New(p, rule, Options{Batch: 2, BLAS: blas.Find()})
		for _, plan := range []*plan[float64]{e.evaluate, e.derive, e.train} {
			memory := make([]*G.Node, len(e.machine.arena)+1)
			mark := func(at place[float64], n *G.Node, check bool) {
				if at.given != nil {
					return
				}
				size := at.width
				if at.batched {
					size *= 2
				}
				for i := range size {
					if check && memory[at.at+i] != n {
						t.Fatalf("seed %d: %v was overwritten by %v", seed, n, memory[at.at+i])
					}
					memory[at.at+i] = n
				}
			}
			for _, i := range plan.list {
				for k, x := range i.from {
					if x.Op() != nil {
						mark(i.src[k], x, true)
					}
				}
				if i.add {
					mark(i.to, i.node, true)
				}
				mark(i.to, i.node, false)
			}
			mark(plan.at[e.logits], e.logits, e.logits.Op() != nil)
		}
	}
}

// TestUpdatesLast: nothing reads a tensor after it changed.
func TestUpdatesLast(t *testing.T) {
	for seed := range uint64(50) {
		p := compiled(seed)
		if p == nil {
			continue
		}
		e := New(p, optim.New(p, optim.Rule{}, nil, nil), Options{Batch: 2, BLAS: blas.Find()})
		updates := false
		for _, i := range e.train.list {
			update := strings.HasPrefix(i.op.name, "update")
			if updates && !update {
				t.Fatalf("seed %d: %s comes after an update", seed, i.op.name)
			}
			updates = update
		}
		if !updates {
			t.Fatalf("seed %d: nothing is updated", seed)
		}
	}
}

// TestNoAllocations: a step, of a full batch or of a partial one, allocates
// nothing, nor does an evaluation.
func TestNoAllocations(t *testing.T) {
	if testing.Short() {
		t.Skip("the race detector, which runs the short tests, makes a sync.Pool forget at random")
	}
	pl := pool.New(2)
	defer pl.Close()
	for _, kind := range []optim.Kind{optim.SGD, optim.PathSGD, optim.PathAdaGrad} {
		for seed := range uint64(40) {
			p := compiled(seed)
			if p == nil {
				continue
			}
			lib := blas.Find()
			rule := optim.New(p, optim.Rule{Kind: kind, P: 2, Momentum: seed%2 == 0}, geometry.New(p, geometry.Options{P: 2, BLAS: lib, Pool: pl}), pl)
			rule.Eta = 1e-3
			e := New(p, rule, Options{Batch: 40, Dropout: 0.25, BLAS: lib, Pool: pl})
			full, part := examples(p, 40), examples(p, 7)
			work := func() {
				_, err1 := e.Step(full)
				_, err2 := e.Step(part)
				_, err3 := e.Evaluate(full)
				if err1 != nil || err2 != nil || err3 != nil {
					t.Fatal(err1, err2, err3)
				}
			}
			n := 1.0
			for try := 0; try < 3 && n != 0; try++ { // a collection may empty pools of the library's
				n = testing.AllocsPerRun(5, work)
			}
			if n != 0 {
				t.Errorf("%v, seed %d: %v allocations\n%v", kind, seed, n, p.Net)
			}
		}
	}
}

// TestGOMAXPROCS: the bits are the same for any number of threads and processors.
func TestGOMAXPROCS(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for seed := range uint64(40) {
		var want [][]float64
		for _, procs := range []int{1, 2, 4} {
			runtime.GOMAXPROCS(procs)
			p := compiled(seed)
			if p == nil {
				break
			}
			pl := pool.New(procs)
			lib := blas.Find()
			rule := optim.New(p, optim.Rule{Kind: optim.PathSGD, P: 2}, geometry.New(p, geometry.Options{P: 2, BLAS: lib, Pool: pl}), pl)
			rule.Eta = 1e-3
			e := New(p, rule, Options{Batch: 64, Dropout: 0.25, BLAS: lib, Pool: pl})
			b := examples(p, 64)
			for range 5 {
				if _, err := e.Step(b); err != nil {
					t.Fatal(err)
				}
			}
			var got [][]float64
			for _, x := range p.Tensors {
				got = append(got, slices.Clone(x.Data))
			}
			if want == nil {
				want = got
			}
			for k := range want {
				if !slices.Equal(got[k], want[k]) {
					t.Fatalf("seed %d, %d processors: other bits", seed, procs)
				}
			}
			pl.Close()
		}
	}
}
