package command

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/dag/dagtest"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/onnxio"
)

// extremes draws numbers from all of a type: each network has a few kinds of them.
func extremes(rng *rand.Rand, n int) []float64 {
	kinds := []func() float64{
		rng.NormFloat64,
		func() float64 { return 0 },
		func() float64 { return math.Copysign(0, -1) },
		func() float64 { return -1 },
		func() float64 { return math.MaxFloat32 * (1 - 2*rng.Float64()) },
		func() float64 { return math.SmallestNonzeroFloat32 * float64(rng.IntN(4)) },
		func() float64 { return math.MaxFloat64 * (1 - 2*rng.Float64()) },
		func() float64 { return math.SmallestNonzeroFloat64 * float64(rng.IntN(4)) },
		func() float64 { return math.Ldexp(rng.NormFloat64(), rng.IntN(2098)-1074) },
		func() float64 { return math.Ldexp(rng.NormFloat64(), rng.IntN(276)-149) },
		math.NaN,
		func() float64 { return math.Inf(1 - 2*rng.IntN(2)) },
	}
	// NaN and infinities, which most commands refuse, are rare.
	usual := len(kinds) - 2
	mix := []func() float64{kinds[0], kinds[rng.IntN(usual)], kinds[rng.IntN(usual)]}[rng.IntN(3):]
	if rng.IntN(24) == 0 {
		mix = append(mix, kinds[usual+rng.IntN(2)])
	}
	out := make([]float64, n)
	for i := range out {
		out[i] = mix[rng.IntN(len(mix))]()
	}
	return out
}

// hostileNetwork is a small random network, mostly with extreme numbers; a few have no
// layer. moderate says that its numbers are near 1.
func hostileNetwork(rng *rand.Rand) (net *dag.Network, moderate bool) {
	if rng.IntN(40) == 0 {
		var b dag.Builder
		x := b.Input("x", 1+rng.IntN(3))
		if rng.IntN(2) == 0 {
			x = b.Activation("", x, 0)
		}
		b.Output("y", x)
		net, err := b.Build()
		if err != nil {
			panic(err)
		}
		return net, true
	}
	features := []dagtest.Feature{
		dagtest.Layered, dagtest.Bias, dagtest.Bias | dagtest.Skip | dagtest.Slope, dagtest.Bias | dagtest.Conv | dagtest.Pool,
		dagtest.Bias | dagtest.Gain | dagtest.Shared, dagtest.All,
	}
	opt := dagtest.Options{
		Features: features[rng.IntN(len(features))], Steps: 1 + rng.IntN(5), Width: 1 + rng.IntN(6), Zeros: []float64{0, 0, 0.3, 1}[rng.IntN(4)],
	}
	if rng.IntN(2) == 0 {
		opt.Type = dag.Float64
	}
	net = dagtest.FromSeed(rng.Uint64(), opt)
	if rng.IntN(4) == 0 {
		return net, true
	}
	return extreme(rng, net), false
}

// extreme returns the network with extreme numbers for its weights.
func extreme(rng *rand.Rand, net *dag.Network) *dag.Network {
	made, slopes := map[*dag.Param]*dag.Param{}, map[*dag.Param]bool{}
	for i := range net.Nodes {
		if a, ok := net.Nodes[i].Op.(*dag.Activation); ok && a.Param != nil {
			slopes[a.Param.Param] = true
		}
	}
	return net.Replace(func(u *dag.Use) *dag.Param {
		if made[u.Param] == nil {
			v := extremes(rng, u.Param.Len())
			for i, x := range v {
				if slopes[u.Param] && (x-x != 0) {
					v[i] = math.MaxFloat32 // a slope is finite
				}
			}
			if u.Param.Type == dag.Float64 {
				made[u.Param] = dag.NewParam64(u.Param.Name, u.Param.Shape, v)
			} else {
				w := make([]float32, len(v))
				for i, x := range v {
					// Beyond float32 the largest: infinities are drawn apart.
					w[i] = float32(x)
					if math.IsInf(float64(w[i]), 0) && !math.IsInf(x, 0) {
						w[i] = float32(math.Copysign(math.MaxFloat32, x))
					}
				}
				made[u.Param] = dag.NewParam32(u.Param.Name, dag.Float32, u.Param.Shape, w)
			}
		}
		return made[u.Param]
	})
}

// testdata is absolute: tests change the folder, and the workers of a fuzz target begin in the one that it
// changed to, with its environment.
var testdata = func() string {
	const env = "RELUPATH_TESTDATA"
	if dir := os.Getenv(env); dir != "" {
		return dir
	}
	dir, err := filepath.Abs("testdata")
	if err == nil {
		err = os.Setenv(env, dir)
	}
	if err != nil {
		panic(err)
	}
	return dir
}()

// realFiles are the small models of testdata: classifiers, networks with functions, with
// dead units, with operators that are not evaluated, in several forms, with open shapes.
var realFiles = sync.OnceValue(func() (files [][]byte) {
	for _, pattern := range []string{"*.onnx", "classes/*.onnx", "dead/*.onnx", "forms/*.onnx", "opaque/*.onnx", "open/*.onnx", "rounding/*.onnx", "shapes/*.onnx", "merged/lines*.onnx", "merged/windows*.onnx"} {
		paths, err := filepath.Glob(filepath.Join(testdata, pattern))
		if err != nil || paths == nil {
			panic(fmt.Sprint("no files ", pattern, err))
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				panic(err)
			}
			files = append(files, data)
		}
	}
	return files
})

// hostileModel is the file of a hostile network, or one of testdata, with other weights mostly;
// nil for what has no file. wrong are the answers of equivalent that a balanced copy may not get:
// open shapes may leave it undecided, and so may numbers at the ends of the range, which
// rescaling may round to zero.
func hostileModel(rng *rand.Rand) (file []byte, net *dag.Network, wrong []int) {
	var out bytes.Buffer
	if rng.IntN(3) > 0 {
		net, moderate := hostileNetwork(rng)
		if err := onnxio.WriteNetwork(&out, net); err != nil {
			return nil, nil, nil // a pooling that ONNX has no attributes for
		}
		if moderate {
			wrong = []int{1, 4}
		}
		return out.Bytes(), net, wrong
	}
	files := realFiles()
	file = files[rng.IntN(len(files))]
	m, err := onnxio.Decode(file, onnxio.Options{})
	if err != nil {
		return file, nil, []int{1} // an open shape
	}
	defer m.Close()
	if rng.IntN(4) == 0 {
		return file, m.Net, []int{1}
	}
	net = extreme(rng, m.Net)
	if err := m.Write(&out, net); err != nil {
		return file, m.Net, []int{1} // weights that cannot be written
	}
	return out.Bytes(), net, nil
}

// hostileLine draws a command line for the model in m.onnx.
func hostileLine(rng *rand.Rand) string {
	pick := func(words ...string) string { return words[rng.IntN(len(words))] }
	const data = " --data npy:x.npy,y.npy,task=class"
	line := pick(
		"inspect m.onnx"+pick("", "", "", " --plots plots"),
		"audit m.onnx --measures all"+pick("", " --per-layer")+pick("", " --p 1,1.5,2,3,inf")+pick("", data+pick("", " --published", " --percentile 0", " --percentile 100")),
		"audit m.onnx --measures all"+pick("", " --per-layer", " --segments")+pick("", " --reference m.onnx", " --group 1:inf,2:2,inf:1"),
		"audit m.onnx --measures tails"+pick("", " --per-layer", " --per-layer", " --per-layer --plots plots"),
		"audit m.onnx m.onnx"+pick("", " --baseline m.onnx", " --sort path_norm")+pick("", " --measures all"),
		"audit m.onnx --measures spectral_operator,spectral_circular,schatten,lipschitz_path --per-layer --columns parameters,path_norm(2),path_norm(inf),product_spectral",
		"audit m.onnx --fail-if path_norm(2)"+pick(">1", "<=1.1x --baseline m.onnx", ">=10% --baseline m.onnx"),
		"audit m.onnx --rescalings 2"+pick("", data+" --measures margin"),
		"diff m.onnx n.onnx"+pick("", " --path-metric", " --measures all", " --measures tails", " --fail-if max_abs>1.1x"),
		"balance m.onnx -o out.onnx --samples 2 --method "+pick("path", "enorm", "cle", "pathcond", "unbalance")+pick("", " --exact")+pick("", " --p 1", " --p 1.5", " --p 7"),
		"balance m.onnx -o out.onnx --samples 2 --method "+pick("path", "cle", "pathcond", "enorm")+pick("", "", " --plots plots", " --report r.html"),
		"balance m.onnx --dry-run --samples 2 --method path --p inf",
		"prune m.onnx -o out.onnx --samples 2 --sparsity "+pick("0", "0.3", "0.999")+pick("", " --by magnitude")+pick("", " --scope layer")+pick("", " --remove-dead")+pick("", data),
		"equivalent m.onnx "+pick("m.onnx", "n.onnx")+pick("", " --permute"),
		"run m.onnx --input x.npy -o y2.npy",
		"eval m.onnx"+data+pick("", " --percentile 0,50,100"),
		"finetune m.onnx -o out.onnx --epochs 1"+data+" --optimizer "+pick("sgd", "path-sgd", "adagrad", "path-adagrad")+
			pick("", " --lr 1e300", " --lr 1e-300", " --lr 0.1 --momentum 0.9")+pick("", " --batch 2", " --batch 2000000000")+
			pick("", " --p 1", " --dropout 0.5", " --max-norm 1", " --weight-decay 0.1", " --loss squared", " --path-penalty 0.1", " --keep-zeros", " --conservation")+
			pick("", " --test npy:x.npy,y.npy,task=class --patience 1"),
		"init --widths "+pick("1,1", "2,1,3", "1,1,1,1")+" -o out.onnx"+pick("", " --no-bias", " --dtype float64"),
	)
	return line + " --force --threads " + pick("1", "3") + " --format " + pick(render.Formats()...) +
		pick("", "", " --bias exclude", " --quiet", " --provenance", " --digits 1", " --digits 17")
}

// hostile runs one command on one model, and checks what holds for all of them: a
// documented exit code, JSON that is some, a written model that reads again and is
// equivalent to its source. The current folder is its own.
func hostile(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 11))
	model, net, wrong := hostileModel(rng)
	if model == nil {
		return
	}
	other := model
	if rng.IntN(2) == 0 {
		if file, _, _ := hostileModel(rng); file != nil {
			other = file
		}
	}
	write := func(path string, b []byte) {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("m.onnx", model)
	write("n.onnx", other)
	const samples = 5
	shape := []int{samples, 2}
	if net != nil && len(net.Inputs) > 0 {
		shape = append(shape[:1], net.Nodes[net.Inputs[0].Node].Shape...)
	}
	array := func(shape []int, values []float64) []byte {
		var b bytes.Buffer
		if err := writeNPY(&b, &array{shape, values}, "float64"); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	x := extremes(rng, dag.Size(shape))
	if rng.IntN(2) == 0 {
		for i := range x {
			x[i] = rng.NormFloat64()
		}
	}
	write("x.npy", array(shape, x))
	write("y.npy", array([]int{samples}, []float64{0, 1, 0, 1, 0}))
	line := hostileLine(rng)
	execute := func(line string, codes ...int) (int, []byte) {
		var out, errs bytes.Buffer
		code := Run(strings.Fields(line), nil, &out, &errs)
		if !slices.Contains(codes, code) {
			t.Fatalf("seed %d: %s: exit code %d: %s", seed, line, code, &errs)
		}
		if code != 0 && errs.Len() == 0 && !strings.HasPrefix(line, "equivalent") {
			t.Fatalf("seed %d: %s: exit code %d and no sentence", seed, line, code)
		}
		if f := out.Bytes(); strings.Contains(line, "--format json") {
			for d := json.NewDecoder(bytes.NewReader(f)); ; {
				if err := d.Decode(new(any)); err == io.EOF {
					break
				} else if err != nil {
					t.Fatalf("seed %d: %s: %v in %s", seed, line, err, f)
				}
			}
		}
		return code, out.Bytes()
	}
	code, _ := execute(line, 0, 1, 2, 3, 4)
	if code == 0 && strings.HasPrefix(line, "balance m.onnx -o") {
		execute("inspect out.onnx", 0)
		if code, out := execute("equivalent m.onnx out.onnx --format json", 0, 1, 4); slices.Contains(wrong, code) {
			t.Fatalf("seed %d: %s: the result is not equivalent: %s", seed, line, out)
		}
	}
}

// inMemory makes a folder in memory, where there is one, the current folder: a
// written model is made safe on the disk otherwise, which takes most of the time.
func inMemory(t testing.TB) {
	dir, err := os.MkdirTemp("/dev/shm", "relupath")
	if err != nil {
		t.Chdir(t.TempDir())
		return
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	t.Chdir(dir)
}

// FuzzCommand runs whole commands: every measure, method and format, on small random
// networks with numbers from all of float32 and float64.
func FuzzCommand(f *testing.F) {
	for seed := range uint64(8) {
		f.Add(seed)
	}
	inMemory(f)
	f.Fuzz(hostile)
}

// TestHostileNetworks is FuzzCommand on some hundred networks, or on those from one
// seed on: RELUPATH_HOSTILE=1000000+50000 is fifty thousand from seed 1000000.
func TestHostileNetworks(t *testing.T) {
	inMemory(t)
	from, n := uint64(1000), uint64(300)
	if testing.Short() {
		n = 60
	}
	if v := os.Getenv("RELUPATH_HOSTILE"); v != "" {
		if _, err := fmt.Sscanf(v, "%d+%d", &from, &n); err != nil {
			t.Fatalf("RELUPATH_HOSTILE=%s: want FIRST+COUNT", v)
		}
	}
	const batch = 1000 // a failure ends one batch only
	for first := uint64(0); first < n; first += batch {
		t.Run(fmt.Sprint(from+first), func(t *testing.T) {
			for seed := first; seed < min(first+batch, n); seed++ {
				hostile(t, from+seed)
			}
		})
	}
}

// TestHostileFiles: models that made a command panic or run without end.
func TestHostileFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/hostile/*.onnx")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	out := filepath.Join(t.TempDir(), "out.onnx")
	for _, f := range files {
		lines := []string{"audit " + f + " --measures all --per-layer --format latex", "inspect " + f + " --format latex"}
		for _, m := range []string{"path", "enorm", "cle", "pathcond"} {
			lines = append(lines, fmt.Sprintf("balance %s --method %s -o %s --force", f, m, out))
		}
		for _, line := range lines {
			var out, errs bytes.Buffer
			if code := Run(strings.Fields(line), nil, &out, &errs); code != 0 && (code != 1 || errs.Len() == 0) {
				t.Errorf("%s: exit code %d: %s", line, code, &errs)
			}
		}
	}
}

// TestNoSample: an array without a sample is refused, and a batch beyond the examples
// takes no more memory than they do.
func TestNoSample(t *testing.T) {
	t.Chdir(t.TempDir())
	output(t, "init --widths 4,3,2 -o m.onnx")
	for path, a := range map[string]*array{
		"none.npy": {[]int{0, 4}, nil}, "x.npy": {[]int{2, 4}, make([]float64, 8)}, "y.npy": {[]int{2}, []float64{0, 1}},
	} {
		var b bytes.Buffer
		err := writeNPY(&b, a, "float64")
		if err := errors.Join(err, os.WriteFile(path, b.Bytes(), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	var out, errs bytes.Buffer
	if code := Run(strings.Fields("run m.onnx --input none.npy -o y2.npy"), nil, &out, &errs); code != codeInvalid || !strings.Contains(errs.String(), "no sample") {
		t.Errorf("exit code %d: %s", code, &errs)
	}
	output(t, "finetune m.onnx --data npy:x.npy,y.npy,task=class --batch 2000000000 --epochs 1 -o out.onnx")
}
