package finetune_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune"
	"github.com/relupath/relupath/finetune/dataset"
)

// blobs writes a csv file of n examples of three classes and loads it.
func blobs(t *testing.T, n int, seed uint64) *dataset.Set {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 4))
	var b strings.Builder
	for range n {
		y := rng.IntN(3)
		for k := range 4 {
			x := rng.NormFloat64()
			if k == y {
				x += 2.5
			}
			b.WriteString(strconv.FormatFloat(x, 'g', 8, 64) + ",")
		}
		b.WriteString(strconv.Itoa(y) + "\n")
	}
	return csv(t, b.String())
}

func csv(t *testing.T, text string) *dataset.Set {
	t.Helper()
	path := filepath.Join(t.TempDir(), "data.csv")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	set, err := dataset.Load(context.Background(), dataset.Spec{Format: "csv", Paths: []string{path}}, dataset.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// small is a network for blobs.
func small(typ dag.DType) *dag.Network { return mlp(typ, 2, 4, 6, 5, 3) }

func train(t *testing.T, ctx context.Context, net *dag.Network, set *dataset.Set, opt finetune.Options) (*finetune.Result, error) {
	t.Helper()
	tr, err := finetune.New(net, set, opt)
	if err != nil {
		t.Fatal(err)
	}
	return tr.Run(ctx)
}

func mustTrain(t *testing.T, net *dag.Network, set *dataset.Set, opt finetune.Options) *finetune.Result {
	t.Helper()
	res, err := train(t, context.Background(), net, set, opt)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// stored returns the bytes of all tensors.
func stored(net *dag.Network) []byte {
	var out []byte
	for _, p := range net.Params() {
		out = p.AppendRaw(out, 0, p.Len())
	}
	return out
}

// TestResume: a run that is interrupted at every few steps and resumed ends with
// the same bytes and the same log as one that is not.
func TestResume(t *testing.T) {
	for _, device := range finetune.Devices() {
		t.Run(string(device), func(t *testing.T) {
			if device == finetune.GPU {
				needGPU(t)
			}
			resumes(t, device)
		})
	}
}

func resumes(t *testing.T, device finetune.Device) {
	set, test := blobs(t, 95, 1), blobs(t, 50, 2)
	for _, typ := range []dag.DType{dag.Float32, dag.Float64} {
		for name, opt := range map[string]finetune.Options{
			"path-sgd":     {Dropout: 0.3},
			"momentum":     {Optimizer: finetune.SGD, Momentum: 0.5, MomentumRise: 0.1, MomentumMax: 0.9, RateDecay: 0.9, WeightDecay: 1e-3},
			"path-adagrad": {Optimizer: finetune.PathAdaGrad},
			"patience":     {Patience: 2},
		} {
			opt.Test, opt.Batch, opt.Epochs, opt.Threads, opt.Seed, opt.Device = test, 10, 4, 1, 3, device
			want := mustTrain(t, small(typ), set, opt)
			dir := t.TempDir()
			var got *finetune.Result
			for parts := 0; ; parts++ {
				ctx, stop := context.WithCancel(context.Background())
				part, steps := opt, 0
				part.Checkpoint, part.Resume = dir, true
				part.Progress = func(finetune.Progress) {
					if steps++; steps == 7 {
						stop()
					}
				}
				res, err := train(t, ctx, small(typ), set, part)
				stop()
				if err == nil {
					got = res
					if parts < 3 {
						t.Errorf("%s: %d parts: the run was hardly interrupted", name, parts)
					}
					break
				}
				if !errors.Is(err, context.Canceled) || res == nil || res.Stopped == "" {
					t.Fatalf("%s: %v, result %+v", name, err, res)
				}
			}
			if !bytes.Equal(stored(got.Net), stored(want.Net)) {
				t.Errorf("%s, %s: the weights differ", name, typ)
			}
			if want.Best != nil && !bytes.Equal(stored(got.Best), stored(want.Best)) {
				t.Errorf("%s, %s: the best epoch's weights differ", name, typ)
			}
			if diff := cmp.Diff(want.Epochs, got.Epochs, cmpopts.IgnoreFields(finetune.Epoch{}, "Seconds", "StepsPerSecond")); diff != "" {
				t.Errorf("%s, %s: log (-whole +resumed):\n%s", name, typ, diff)
			}
		}
	}
}

// TestCheckpointRefusals: a checkpoint of another run, and a damaged one.
func TestCheckpointRefusals(t *testing.T) {
	set := blobs(t, 30, 1)
	dir := t.TempDir()
	opt := finetune.Options{Batch: 10, Epochs: 1, Checkpoint: dir, Threads: 1}
	mustTrain(t, small(dag.Float32), set, opt)
	opt.Resume, opt.Epochs = true, 2
	resume := func(net *dag.Network, set *dataset.Set, change func(*finetune.Options)) string {
		o := opt
		change(&o)
		_, err := train(t, context.Background(), net, set, o)
		if err == nil {
			return ""
		}
		return err.Error()
	}
	same := func(*finetune.Options) {}
	for what, c := range map[string]struct{ got, want string }{
		"model": {resume(mlp(dag.Float32, 9, 4, 6, 5, 3), set, same), "another model"},
		"data":  {resume(small(dag.Float32), blobs(t, 31, 1), same), "other data"},
		"seed":  {resume(small(dag.Float32), set, func(o *finetune.Options) { o.Seed = 4 }), "began with seed 0, now it is 4"},
		"type":  {resume(small(dag.Float64), set, same), "another model"},
	} {
		if !strings.Contains(c.got, c.want) {
			t.Errorf("another %s: %q, want %q", what, c.got, c.want)
		}
	}
	path := filepath.Join(dir, finetune.CheckpointName)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 7, 12, 40, len(whole) / 2, len(whole) - 1} {
		if err := os.WriteFile(path, whole[:n], 0o644); err != nil {
			t.Fatal(err)
		}
		if got := resume(small(dag.Float32), set, same); !strings.Contains(got, "damaged") && !strings.Contains(got, "no checkpoint") {
			t.Errorf("%d of %d bytes: %q", n, len(whole), got)
		}
	}
	flipped := bytes.Clone(whole)
	flipped[len(flipped)-20] ^= 1
	if err := os.WriteFile(path, flipped, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := resume(small(dag.Float32), set, same); !strings.Contains(got, "damaged") {
		t.Errorf("a flipped bit: %q", got)
	}
	if err := os.WriteFile(path, whole, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := resume(small(dag.Float32), set, same); got != "" {
		t.Errorf("the whole file: %q", got)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder holds %v: temporary files were left", entries)
	}
}

// TestDiverged: a step size that is far too large ends the run with the last
// good network.
func TestDiverged(t *testing.T) {
	set := blobs(t, 60, 1)
	net := small(dag.Float32)
	res, err := train(t, context.Background(), net, set, finetune.Options{Optimizer: finetune.SGD, Rate: 1e30, Batch: 10, Epochs: 3})
	var lost *finetune.DivergedError
	if !errors.As(err, &lost) || lost.Epoch != 1 || lost.Kept != 0 || !strings.Contains(err.Error(), "step size") {
		t.Fatalf("error %v", err)
	}
	if !bytes.Equal(stored(res.Net), stored(net)) {
		t.Error("the network is not the one before training")
	}
}

// TestPartialBatch: a batch that does not divide the data counts each example
// once, in both engines: the loss of one epoch with a vanishing step is the mean
// over the examples.
func TestPartialBatch(t *testing.T) {
	set := blobs(t, 37, 1)
	loss := func(batch int) float64 {
		res := mustTrain(t, small(dag.Float64), set, finetune.Options{Optimizer: finetune.SGD, Rate: 1e-300, Batch: batch, Epochs: 1})
		return *res.Epochs[0].TrainLoss
	}
	if a, b := loss(37), loss(10); !(math.Abs(a-b) <= 1e-13) {
		t.Errorf("loss %v in one batch, %v in four", a, b)
	}
	// One step on all examples is the same, whatever the largest batch is.
	one := mustTrain(t, small(dag.Float64), set, finetune.Options{Batch: 37, Epochs: 1})
	padded := mustTrain(t, small(dag.Float64), set, finetune.Options{Batch: 64, Epochs: 1})
	if diff := cmp.Diff(one.Net.Params()[0].Values(), padded.Net.Params()[0].Values(), cmpopts.EquateApprox(0, 1e-12)); diff != "" {
		t.Errorf("a step of 37 examples depends on the largest batch:\n%s", diff)
	}
}

// TestFreeze: the named layers keep their bytes, the others change.
func TestFreeze(t *testing.T) {
	var b dag.Builder
	rng := rand.New(rand.NewPCG(1, 1))
	w := func(n int) []float64 {
		v := make([]float64, n)
		for i := range v {
			v[i] = rng.NormFloat64()
		}
		return v
	}
	h := b.Activation("", b.Affine("fc1", b.Input("x", 4), 6, w(24), w(6)), 0)
	b.Output("y", b.Affine("fc2", h, 3, w(18), w(3)))
	net := build(&b)
	res := mustTrain(t, net, blobs(t, 60, 1), finetune.Options{Freeze: []string{"fc1"}, Epochs: 1})
	for i, p := range net.Params() {
		same := cmp.Equal(p.Values(), res.Net.Params()[i].Values())
		if frozen := strings.HasPrefix(p.Name, "fc1"); same != frozen {
			t.Errorf("%s: unchanged %v, frozen %v", p.Name, same, frozen)
		}
	}
	if _, err := finetune.New(net, blobs(t, 60, 1), finetune.Options{Freeze: []string{"fc9"}}); err == nil || !strings.Contains(err.Error(), "fc1, fc2") {
		t.Errorf("freezing fc9: %v", err)
	}
}

// TestKeepZeros: weights at zero stay there under every optimizer, with momentum, decay and
// a bound of norms; without the option they move. Biases at zero move.
func TestKeepZeros(t *testing.T) {
	var b dag.Builder
	rng := rand.New(rand.NewPCG(1, 1))
	w := func(n int) []float64 {
		v := make([]float64, n)
		for i := range v {
			if i%3 > 0 {
				v[i] = rng.NormFloat64()
			}
		}
		return v
	}
	h := b.Activation("", b.Affine("fc1", b.Input("x", 4), 6, w(24), make([]float64, 6)), 0)
	b.Output("y", b.Affine("fc2", h, 3, w(18), w(3)))
	net := build(&b)
	for _, keep := range []bool{false, true} {
		for _, o := range finetune.Optimizers() {
			for _, momentum := range []float64{0, 0.9} {
				res := mustTrain(t, net, blobs(t, 60, 1), finetune.Options{
					Optimizer: o, Momentum: momentum, WeightDecay: 1e-3, MaxNorm: 2, Rate: 0.01, Epochs: 2, KeepZeros: keep,
				})
				for i, p := range net.Params() {
					moved, stayed := 0, 0
					for e, x := range p.Values() {
						if x == 0 && res.Net.Params()[i].At(e) == 0 {
							stayed++
						} else if x == 0 {
							moved++
						}
					}
					matrix := len(p.Shape) == 2
					if keep && matrix && moved > 0 || (!keep || !matrix) && moved == 0 {
						t.Errorf("%s, momentum %v, keep %v: of the zeros of %s %d moved and %d stayed", o, momentum, keep, p.Name, moved, stayed)
					}
				}
			}
		}
	}
}

// TestFreezeUnnamed: a layer without a name goes by its place, with its operator or without.
func TestFreezeUnnamed(t *testing.T) {
	var b dag.Builder
	h := b.Activation("", b.Affine("", b.Input("x", 4), 6, []float64{
		1, 2, 3, 4, -1, 1, -1, 1, 2, 0, 1, 0, 0, 1, 0, 2, 1, 1, -2, 1, 0, 0, 1, 1,
	}, nil), 0)
	b.Output("y", b.Affine("", h, 3, []float64{1, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 1, 1, -1, 1, -1, 1, -1}, nil))
	net := build(&b)
	for _, name := range []string{"node 1", net.Nodes[1].Label(), "1 " + net.Nodes[1].Source, "1"} {
		res := mustTrain(t, net, blobs(t, 60, 1), finetune.Options{Freeze: []string{name}, Epochs: 1})
		for i, p := range net.Params() {
			if same := cmp.Equal(p.Values(), res.Net.Params()[i].Values()); same != (i == 0) {
				t.Errorf("%s: tensor %d: unchanged %v", name, i, same)
			}
		}
	}
	// An activation has no weights.
	for _, name := range []string{"fc9", "node 2"} {
		if _, err := finetune.New(net, blobs(t, 60, 1), finetune.Options{Freeze: []string{name}}); err == nil || !strings.Contains(err.Error(), "node 1, node 3") {
			t.Errorf("freezing %s: %v", name, err)
		}
	}
}

// TestTied: a tensor with two uses stays one.
func TestTied(t *testing.T) {
	var b dag.Builder
	rng := rand.New(rand.NewPCG(1, 1))
	p := param(dag.Float64, []int{4, 4}, rng.NormFloat64)
	at := b.Input("x", 4)
	for range 2 {
		at = b.Node(dag.Node{Source: "Gemm", In: []int{at}, Shape: []int{4}, Op: &dag.Linear{Map: &dag.Dense{W: dag.Use{Param: p}, Rows: 4, Cols: 4}}})
		at = b.Activation("", at, 0)
	}
	b.Output("y", b.Affine("fc", at, 3, []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}, nil))
	res := mustTrain(t, build(&b), blobs(t, 60, 1), finetune.Options{Epochs: 1})
	if n := len(res.Net.Params()); n != 2 {
		t.Errorf("%d tensors, want 2", n)
	}
	if cmp.Equal(res.Net.Params()[0].Values(), p.Values()) {
		t.Error("the shared tensor did not change")
	}
}

// TestDeadPaths: weights of a unit that no path of non-zero product crosses do
// not move, and the others do.
func TestDeadPaths(t *testing.T) {
	w1 := []float64{1, 2, 3, 4, -1, 0.5, 1, 1}
	w2 := []float64{1, 0, 2, 0, 1, 0} // nothing leaves unit 1
	var b dag.Builder
	h := b.Activation("", b.Affine("fc1", b.Input("x", 4), 2, w1, nil), 0)
	b.Output("y", b.Affine("fc2", h, 3, w2, nil))
	for _, o := range []finetune.Optimizer{finetune.PathSGD, finetune.PathAdaGrad} {
		bb := b
		res := mustTrain(t, build(&bb), blobs(t, 60, 1), finetune.Options{Optimizer: o, Rate: 0.01, Epochs: 1})
		got := res.Net.Params()[0].Values()
		if !cmp.Equal(got[4:], w1[4:]) || cmp.Equal(got[:4], w1[:4]) {
			t.Errorf("%s: incoming weights %v: want those of unit 1 unchanged, those of unit 0 changed", o, got)
		}
	}
}

// TestRange: a network of 60 layers whose path norm is far beyond the range of
// its weights' type trains all the same.
func TestRange(t *testing.T) {
	set := blobs(t, 40, 1)
	net := mlp(dag.Float32, 5, append(append([]int{4}, repeat(8, 60)...), 3)...)
	// Four times every weight: 2^122 times every path.
	big := net.Replace(func(u *dag.Use) *dag.Param {
		v := u.Param.Values()
		if len(u.Param.Shape) == 1 {
			return u.Param
		}
		for i := range v {
			v[i] *= 4
		}
		return u.Param.WithValues(nil, v)
	})
	res, err := train(t, context.Background(), big, set, finetune.Options{P: 1, Optimizer: finetune.PathAdaGrad, Rate: 1e-4, Epochs: 1})
	if err != nil {
		t.Fatal(err)
	}
	if n := res.Epochs[0].PathNorm; n == nil || *n < 39 {
		t.Errorf("log10 of the path norm is %v: want it beyond single precision", n)
	}
	if bytes.Equal(stored(res.Net), stored(big)) {
		t.Error("nothing was trained")
	}
}

func repeat(w, n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = w
	}
	return out
}

// TestErrors: sentences for data that do not fit and options that make no sense.
func TestErrors(t *testing.T) {
	set := blobs(t, 30, 1)
	for _, c := range []struct {
		net  *dag.Network
		set  *dataset.Set
		opt  finetune.Options
		want string
	}{
		{mlp(dag.Float32, 1, 5, 3), set, finetune.Options{}, "have shape [4], the network's input"},
		{mlp(dag.Float32, 1, 4, 2), set, finetune.Options{}, "one score for each of the classes 0 to 1"},
		{small(dag.Float32), set, finetune.Options{P: 0.5}, "order p = 0.5"},
		{small(dag.Float32), set, finetune.Options{P: math.Inf(1)}, "finite number"},
		{small(dag.Float32), set, finetune.Options{Momentum: 1}, "momentum 1"},
		{small(dag.Float32), set, finetune.Options{Momentum: 0.5, MomentumRise: 0.1}, "up to which"},
		{small(dag.Float32), set, finetune.Options{MomentumRise: 0.1, MomentumMax: 1.5}, "largest momentum 1.5"},
		{small(dag.Float32), set, finetune.Options{Rate: 0.2, WeightDecay: 6}, "above 1"},
		{small(dag.Float32), set, finetune.Options{Margin: math.NaN()}, "truncation margin"},
		{small(dag.Float32), set, finetune.Options{Output: "none"}, "there is no output or layer"},
		{small(dag.Float32), set, finetune.Options{Dropout: 1}, "dropout 1"},
		{small(dag.Float32), set, finetune.Options{Rate: -1}, "step size -1"},
		{small(dag.Float32), set, finetune.Options{Optimizer: finetune.SGD, Normalize: finetune.NormalizeOn}, "only the step size of path-sgd"},
		{small(dag.Float32), set, finetune.Options{Patience: 2}, "needs test data"},
		{small(dag.Float32), set, finetune.Options{Resume: true}, "no checkpoint folder"},
		{mlp(dag.Float32, 1, 2, 1), csv(t, "1,2,0.5\n3,4,1.5\n"), finetune.Options{Loss: finetune.Softmax}, "needs class labels"},
		{mlp(dag.Float32, 1, 2, 3), csv(t, "1,2,0.5\n3,4,1.5\n"), finetune.Options{}, "has 1 target an example, the network's node 1 (Gemm) gives 3 numbers: give data with as many targets, or add task=class"},
	} {
		_, err := finetune.New(c.net, c.set, c.opt)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
			continue
		}
		if strings.Count(err.Error(), c.want) != 1 {
			t.Errorf("%v: says %q more than once", err, c.want)
		}
	}
}

// TestRegression: squared loss on targets falls.
func TestRegression(t *testing.T) {
	var b strings.Builder
	rng := rand.New(rand.NewPCG(1, 9))
	for range 200 {
		x, y := rng.NormFloat64(), rng.NormFloat64()
		b.WriteString(strconv.FormatFloat(x, 'g', 6, 64) + "," + strconv.FormatFloat(y, 'g', 6, 64) + "," + strconv.FormatFloat(x-2*y+0.5, 'g', 6, 64) + "\n")
	}
	set := csv(t, b.String())
	res := mustTrain(t, mlp(dag.Float64, 1, 2, 16, 1), set, finetune.Options{Rate: 0.1, Batch: 20, Epochs: 20, Test: set})
	first, last := *res.Initial.TestLoss, *res.Epochs[19].TestLoss
	if !(last < first/20) || res.Epochs[0].TrainError != nil {
		t.Errorf("loss %v before, %v after", first, last)
	}
}

// TestLearns: every optimizer lowers the test error of blobs, and patience stops
// and keeps the best epoch.
func TestLearns(t *testing.T) {
	set, test := blobs(t, 600, 1), blobs(t, 300, 2)
	for _, o := range finetune.Optimizers() {
		res := mustTrain(t, small(dag.Float32), set, finetune.Options{Optimizer: o, Batch: 20, Epochs: 5, Test: test})
		if before, after := *res.Initial.TestError, *res.Epochs[4].TestError; !(after < 0.15) || !(after < before) {
			t.Errorf("%s: error %v before, %v after", o, before, after)
		}
	}
	res := mustTrain(t, small(dag.Float32), set, finetune.Options{Batch: 20, Epochs: 100, Patience: 3, Test: test})
	if res.Stopped == "" || res.Best == nil || len(res.Epochs) != res.BestEpoch+3 {
		t.Errorf("stopped %q after %d epochs, the best %d", res.Stopped, len(res.Epochs), res.BestEpoch)
	}
}

// TestOneScore: a network with one score learns to tell two classes apart, and
// three are refused.
func TestOneScore(t *testing.T) {
	var b strings.Builder
	rng := rand.New(rand.NewPCG(3, 9))
	for range 300 {
		x, y, label := rng.NormFloat64(), rng.NormFloat64(), "0"
		if x > y*y-1 {
			label = "1"
		}
		b.WriteString(strconv.FormatFloat(x, 'g', 6, 64) + "," + strconv.FormatFloat(y, 'g', 6, 64) + "," + label + "\n")
	}
	set := csv(t, b.String())
	net := mlp(dag.Float32, 1, 2, 16, 1)
	res := mustTrain(t, net, set, finetune.Options{Batch: 20, Epochs: 20, Test: set})
	if first, last := *res.Initial.TestError, *res.Epochs[19].TestError; !(last < 0.05) || res.Loss != finetune.Softmax {
		t.Errorf("%s: error %v before, %v after", res.Loss, first, last)
	}
	res = mustTrain(t, net, set, finetune.Options{Batch: 20, Epochs: 20, Test: set, Loss: finetune.Squared})
	if first, last := *res.Initial.TestError, *res.Epochs[19].TestError; !(last < 0.1) {
		t.Errorf("squared: error %v before, %v after", first, last)
	}
	three := csv(t, "1,2,0\n3,4,1\n5,6,2\n")
	if _, err := finetune.New(net, three, finetune.Options{}); err == nil || !strings.Contains(err.Error(), "task=regression") {
		t.Errorf("three classes: %v", err)
	}
}

// TestUnwritable: a tensor of the body that cannot be stored is told once, with
// its layer; what the preamble holds is not trained anyway and not told.
func TestUnwritable(t *testing.T) {
	stuck := func(n int) *dag.Param {
		p := param(dag.Float32, []int{n}, func() float64 { return 0.5 })
		p.Name, p.Storage, p.Reason = "", dag.Unwritable, "it is an attribute"
		return p
	}
	scaled := func(b *dag.Builder, name string, in int) int {
		n := b.Shape(in)[0]
		return b.Node(dag.Node{Name: name, Source: "Scaler", In: []int{in}, Shape: []int{n}, Op: &dag.Linear{
			Map: &dag.Diagonal{Axis: dag.Axis{Outer: 1, N: n, Inner: 1}},
			Stages: []dag.Stage{
				{Add: &dag.Vector{Use: dag.Use{Param: stuck(n)}, Coef: 1}},
				{Mul: &dag.Vector{Use: dag.Use{Param: stuck(n)}, Coef: 1}},
			},
		}})
	}
	var b dag.Builder
	at := scaled(&b, "scaler", b.Input("x", 4))
	at = b.Activation("", b.Affine("fc1", at, 3, repeated(12), repeated(3)), 0)
	b.Output("y", scaled(&b, "scale", b.Affine("fc2", at, 3, repeated(9), repeated(3))))
	net := build(&b)
	if net.Nodes[1].Zone != dag.Preamble {
		t.Fatalf("the scaler is in the %v", net.Nodes[1].Zone)
	}
	tr, err := finetune.New(net, blobs(t, 30, 1), finetune.Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := `a tensor without a name of "scale" (Scaler) keeps its values, it cannot be stored: it is an attribute`
	if got := tr.Warnings(); len(got) != 1 || got[0] != want {
		t.Errorf("warnings %q", got)
	}
}

// repeated is n numbers that differ.
func repeated(n int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = 0.1 * float64(i+1)
	}
	return out
}
