package onnxio_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/analysis/paths"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/onnxio"
)

// resnet18 is what testmodels/scripts/resnet18.py writes.
type resnet18 struct {
	dir           string
	Torch         string
	Threads       int
	Norms         map[string]float64
	Make          map[string]float64
	Evaluate      map[string]float64
	Input, Output []float64
}

// exportResNet18 runs the script with the Python of RELUPATH_PYTHON.
// RELUPATH_RESNET18 names a folder that it has filled before.
func exportResNet18(t testing.TB) *resnet18 {
	python := os.Getenv("RELUPATH_PYTHON")
	dir := os.Getenv("RELUPATH_RESNET18")
	switch {
	case dir != "":
	case python == "":
		t.Skip("set RELUPATH_PYTHON to a Python with torch and torchvision")
	case testing.Short():
		t.Skip("the exporters take half a minute")
	case exec.Command(python, "-c", "import onnxscript, torch, torchvision").Run() != nil:
		t.Skip("RELUPATH_PYTHON names a Python without torch, torchvision and onnxscript")
	default:
		dir = t.TempDir()
		cmd := exec.Command(python, filepath.Join("..", "testmodels", "scripts", "resnet18.py"), dir)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", cmd, err, out)
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, "norms.json"))
	if err != nil {
		t.Fatal(err)
	}
	r := &resnet18{dir: dir}
	if err := json.Unmarshal(b, r); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *resnet18) read(t testing.TB, name string) *onnxio.Model {
	t.Helper()
	m, err := onnxio.Read(filepath.Join(r.dir, name+".onnx"), onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

var biases = []paths.Bias{paths.Exclude, paths.Include}

// pathNorm is the p-norm of the path vector over all outputs.
func pathNorm(n *dag.Network, v *paths.Values, k int) float64 {
	var acc scaled.Accumulator
	acc.Reset(v.P[k])
	for _, i := range n.Boundary() {
		for _, h := range v.H(k, i) {
			acc.Add(h)
		}
	}
	return acc.Norm().Float64()
}

// TestResNet18 reads a ResNet-18 from both PyTorch exporters: the outputs and
// the path norms must be PyTorch's.
func TestResNet18(t *testing.T) {
	r := exportResNet18(t)
	for _, c := range []struct {
		name string
		// tol is relative: sums of positive numbers in float64, or the rounding
		// of folded weights to float32 in each of 18 layers.
		tol float64
	}{
		{"torchscript", 1e-9}, {"dynamo", 1e-9}, {"torchscript_folded", 1e-5}, {"dynamo_folded", 1e-5},
	} {
		t.Run(c.name, func(t *testing.T) {
			start := time.Now()
			m := r.read(t, c.name)
			t.Logf("read in %v", time.Since(start))
			start = time.Now()
			g := m.Net.Groups()
			t.Logf("%d groups in %v", g.Count, time.Since(start))
			for _, bias := range biases {
				v := paths.Forward(m.Net, []float64{1, 2}, paths.Options{Bias: bias, Threads: runtime.GOMAXPROCS(0)})
				for k, p := range v.P {
					want := r.Norms[fmt.Sprintf("p=%g,bias=%d", p, bit(bias))]
					if got := pathNorm(m.Net, v, k); !(math.Abs(got-want) <= c.tol*want) {
						t.Errorf("path norm of order %g, biases %v: %v, PyTorch has %v, %.2g away", p, bias, got, want, got/want-1)
					}
				}
			}
			start = time.Now()
			got, err := eval.Run(context.Background(), m.Net, [][]float64{r.Input}, 1, eval.Options{Threads: runtime.GOMAXPROCS(0)})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("evaluated in %v", time.Since(start))
			// PyTorch evaluates in float32: 18 layers of sums of up to 4608 terms.
			for i, w := range r.Output {
				if !(math.Abs(got[0][i]-w) <= 1e-4*largest(r.Output)) {
					t.Fatalf("output %d is %v, PyTorch has %v", i, got[0][i], w)
				}
			}
		})
	}
}

func bit(b paths.Bias) int {
	if b == paths.Include {
		return 1
	}
	return 0
}

func largest(x []float64) float64 {
	m := 0.0
	for _, v := range x {
		m = math.Max(m, math.Abs(v))
	}
	return m
}

// BenchmarkResNet18 times reading, groups of tied units and each path norm. The
// metrics of the norms are ratios of the fastest run to PyTorch's fastest:
// making and evaluating the network of |w|^p, and evaluating it alone.
func BenchmarkResNet18(b *testing.B) {
	r := exportResNet18(b)
	b.Run("Read", func(b *testing.B) {
		for b.Loop() {
			m, err := onnxio.Read(filepath.Join(r.dir, "torchscript.onnx"), onnxio.Options{})
			if err != nil {
				b.Fatal(err)
			}
			m.Close()
		}
	})
	m := r.read(b, "torchscript")
	b.Run("Groups", func(b *testing.B) {
		for b.Loop() {
			m.Net.Groups()
		}
	})
	for _, p := range []float64{1, 2} {
		b.Run(fmt.Sprintf("PathNorm/p=%g", p), func(b *testing.B) {
			opt := paths.Options{Bias: paths.Exclude, Threads: runtime.GOMAXPROCS(0), Keep: []int{}}
			best := math.Inf(1)
			for b.Loop() {
				start := time.Now()
				paths.Forward(m.Net, []float64{p}, opt)
				best = min(best, time.Since(start).Seconds())
			}
			key := fmt.Sprintf("p=%g,bias=0", p)
			b.ReportMetric(best/r.Evaluate[key], "of-PyTorch-evaluate")
			b.ReportMetric(best/(r.Make[key]+r.Evaluate[key]), "of-PyTorch")
		})
	}
	b.Run("Eval", func(b *testing.B) {
		for b.Loop() {
			if _, err := eval.Run(context.Background(), m.Net, [][]float64{r.Input}, 1, eval.Options{Threads: runtime.GOMAXPROCS(0)}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
