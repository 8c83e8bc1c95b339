package command

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio"
)

// layers makes networks of layers large enough to be split over goroutines.
type layers struct {
	dag.Builder
	rng *rand.Rand
}

func newLayers() *layers { return &layers{rng: rand.New(rand.NewPCG(3, 3))} }

func (l *layers) param(shape ...int) dag.Use {
	fan := max(1, dag.Size(shape)/shape[0])
	w := make([]float32, dag.Size(shape))
	for i := range w {
		w[i] = float32(l.rng.NormFloat64() / math.Sqrt(float64(fan)))
	}
	return dag.Use{Param: dag.NewParam32(fmt.Sprintf("w%d", l.rng.Uint32()), dag.Float32, shape, w)}
}

// conv adds a convolution with padding and a ReLU.
func (l *layers) conv(in, channels, kernel, stride, groups int, transposed bool) int {
	s := l.Shape(in)
	w := dag.Window{
		In: s[1:], Kernel: []int{kernel, kernel}, Stride: []int{stride, stride}, Dilation: []int{1, 1},
		Before: []int{kernel / 2, kernel / 2}, After: []int{kernel / 2, kernel / 2},
	}
	c := &dag.Conv{InChannels: s[0], OutChannels: channels, Groups: groups, Window: w, Transposed: transposed}
	var shape []int
	if transposed {
		c.Window.In = []int{(s[1]-1)*stride + 1, (s[2]-1)*stride + 1}
		c.W, shape = l.param(s[0], channels/groups, kernel, kernel), c.Window.In
	} else {
		c.W, shape = l.param(channels, s[0]/groups, kernel, kernel), w.Out()
	}
	id := l.Node(dag.Node{
		Source: "Conv", In: []int{in}, Shape: append([]int{channels}, shape...),
		Op: &dag.Linear{Map: c, Stages: []dag.Stage{{Add: &dag.Vector{Use: l.param(channels), Coef: 1}}}},
	})
	return l.Activation("", id, 0)
}

// dense adds a fully connected layer, its weights stored in x out if inOut is not nil.
func (l *layers) dense(in, units int, inOut bool) int {
	cols := dag.Size(l.Shape(in))
	d := &dag.Dense{W: l.param(units, cols), Rows: units, Cols: cols}
	if inOut {
		d.W, d.InOut = l.param(cols, units), true
	}
	return l.Node(dag.Node{
		Source: "Gemm", In: []int{in}, Shape: []int{units},
		Op: &dag.Linear{Map: d, Stages: []dag.Stage{{Add: &dag.Vector{Use: l.param(units), Coef: 1}}}},
	})
}

// write ends the network in a classifier and writes it.
func (l *layers) write(t *testing.T, path string, last int) {
	t.Helper()
	l.Output("y", l.dense(last, 3, false))
	net, err := l.Build()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(onnxio.WriteNetwork(f, net), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// threadModels writes models with layers of every kind to the folder models.
func threadModels(t *testing.T) (names []string) {
	for _, c := range []struct {
		name string
		body func(l *layers, x int) int
	}{
		{"convolutions", func(l *layers, x int) int { return l.conv(l.conv(x, 32, 3, 1, 1, false), 56, 3, 1, 1, false) }},
		{"transposed", func(l *layers, x int) int { return l.conv(l.conv(x, 64, 3, 2, 1, false), 16, 3, 2, 1, true) }},
		{"grouped", func(l *layers, x int) int { return l.conv(l.conv(x, 32, 3, 2, 1, false), 64, 3, 1, 4, false) }},
		// As in ShuffleNet: pointwise and depthwise layers of few channels, two branches.
		{"depthwise", func(l *layers, x int) int {
			x = l.conv(x, 24, 3, 2, 1, false)
			a := l.conv(l.conv(l.conv(x, 58, 1, 1, 1, false), 58, 3, 2, 58, false), 58, 1, 1, 1, false)
			b := l.conv(l.conv(x, 24, 3, 2, 24, false), 58, 1, 1, 1, false)
			return l.Concat("", a, b)
		}},
		{"dense", func(l *layers, x int) int {
			a := l.Activation("", l.dense(x, 300, false), 0)
			b := l.Activation("", l.dense(a, 300, true), 0.1)
			return l.Activation("", l.dense(l.Sum("", a, b), 200, false), 0)
		}},
	} {
		l, path := newLayers(), filepath.Join("models", c.name+".onnx")
		l.write(t, path, c.body(l, l.Input("x", 3, 12, 12)))
		names = append(names, path)
	}
	return names
}

// writeArray writes a NumPy file.
func writeArray(t *testing.T, path string, shape []int, values []float64) {
	t.Helper()
	var b bytes.Buffer
	if err := writeNPY(&b, &array{shape, values}, "float64"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// timings are what differs between two runs: durations, and what they give.
var timings = regexp.MustCompile(`"(seconds|steps_per_second|threads)": ?(\{[^}]*\}|[0-9.e+-]+|null)`)

// TestThreads: every command prints and writes the same bits on any number of
// threads, with any number of models at a time, and again.
func TestThreads(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("models", 0o755); err != nil {
		t.Fatal(err)
	}
	models := threadModels(t)
	const examples = 9
	rng := rand.New(rand.NewPCG(4, 4))
	x, y := make([]float64, examples*3*12*12), make([]float64, examples)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	for i := range y {
		y[i] = float64(i % 3)
	}
	writeArray(t, "x.npy", []int{examples, 3, 12, 12}, x)
	writeArray(t, "y.npy", []int{examples}, y)
	const data = " --data npy:x.npy,y.npy,task=class"
	lines := []string{
		"audit models --measures all --p 1,1.5,2,inf --per-layer",
		"audit models/depthwise.onnx --measures all" + data + ",limit=3",
		"audit models/dense.onnx --rescalings 2",
	}
	for i, m := range models {
		lines = append(lines, "run "+m+" --input x.npy -o out.npy", "eval "+m+data)
		for k, method := range []string{"path --p 1", "path --p inf", "enorm", "cle", "pathcond", "unbalance"} {
			if m == models[len(models)-1] && k > 0 || k%len(models) == i {
				lines = append(lines, "balance "+m+" --samples 4 --method "+method+" -o out.onnx")
			}
		}
		lines = append(lines, "equivalent "+m+" out.onnx")
		for k, optimizer := range []string{"path-sgd", "adagrad", "path-adagrad --p 1"} {
			if m != models[1] && (m == models[len(models)-1] || k == i%3) { // they cannot be trained
				lines = append(lines, "finetune "+m+data+" --epochs 1 --batch 5 --lr 0.001 -o out.onnx --optimizer "+optimizer)
			}
		}
	}
	want := make([]string, len(lines))
	for _, flags := range []string{"--threads 1", "--threads 2", "--threads 3", "--threads 8"} {
		for i, line := range lines {
			for _, jobs := range []string{"", " --jobs 1", " --jobs 8"} {
				if jobs != "" && (!strings.HasPrefix(line, "audit models ") || flags != "--threads 8") {
					continue
				}
				for _, out := range []string{"out.onnx", "out.npy"} {
					if strings.Contains(line, "-o "+out) {
						os.Remove(out)
					}
				}
				got := timings.ReplaceAllString(output(t, line+jobs+" --format json "+flags), "")
				for _, out := range []string{"out.onnx", "out.npy"} {
					if strings.Contains(line, "-o "+out) {
						b, err := os.ReadFile(out)
						if err != nil {
							t.Fatal(err)
						}
						got += string(b)
					}
				}
				if want[i] == "" {
					want[i] = got
				}
				if got != want[i] {
					t.Errorf("%s%s %s: another result than with one thread", line, jobs, flags)
				}
			}
		}
	}
}
