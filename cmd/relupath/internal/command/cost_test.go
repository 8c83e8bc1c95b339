package command

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/onnxio"
)

// graphs have n layers each, behind each other, also with the same weights, side by side, or each with an output of its own.
var graphs = map[string]func(b *dag.Builder, n int){
	"a chain": func(b *dag.Builder, n int) {
		at := b.Input("x", 2)
		for k := range n {
			at = b.Activation("", b.Affine(fmt.Sprintf("fc%d", k), at, 2, []float64{1, -0.5, float64(k%7) / 8, 1}, []float64{0.25, 0}), 0)
		}
		b.Output("y", b.Affine("last", at, 2, []float64{1, 2, 3, 4}, nil))
	},
	"a chain of one tensor": func(b *dag.Builder, n int) {
		at, w := b.Input("x", 2), dag.Use{Param: dag.NewParam32("w", dag.Float32, []int{2, 2}, []float32{1, -0.5, 0.25, 1})}
		for range n {
			at = b.Activation("", b.Node(dag.Node{
				Source: "Gemm", In: []int{at}, Shape: []int{2},
				Op: &dag.Linear{Map: &dag.Dense{W: w, Rows: 2, Cols: 2, Outer: 1, Inner: 1}},
			}), 0)
		}
		b.Output("y", b.Affine("last", at, 2, []float64{1, 2, 3, 4}, nil))
	},
	"a sum": func(b *dag.Builder, n int) {
		x := b.Input("x", 2)
		var all []int
		for k := range n {
			all = append(all, b.Activation("", b.Affine(fmt.Sprintf("fc%d", k), x, 2, []float64{1, -0.5, float64(k%7) / 8, 1}, nil), 0))
		}
		s := b.Node(dag.Node{Source: "Sum", In: all, Shape: []int{2}, Op: &dag.Add{}})
		b.Output("y", b.Affine("last", s, 2, []float64{1, 2, 3, 4}, nil))
	},
	"many outputs": func(b *dag.Builder, n int) {
		x := b.Activation("", b.Affine("first", b.Input("x", 2), 2, []float64{1, 2, 3, 4}, nil), 0)
		for k := range n {
			b.Output(fmt.Sprintf("y%d", k), b.Affine(fmt.Sprintf("fc%d", k), x, 2, []float64{1, -0.5, float64(k%7) / 8, 1}, nil))
		}
	},
}

// TestCommandsCostIsLinear runs commands on graphs of n and of 4 n layers: what a command allocates
// follows the size of the file, whatever it is and prints.
func TestCommandsCostIsLinear(t *testing.T) {
	const n = 150
	t.Chdir(t.TempDir())
	lines := []string{
		"equivalent %s %s", "diff %s %s", "diff %s %s --format html", "diff %s %s --fail-if frobenius>1e300", "diff %s %s --columns path_norm_output,spectral",
		"balance %s -o out.onnx --force --method path", "balance %s -o out.onnx --force --method enorm", "balance %s -o out.onnx --force --method unbalance",
		"prune %s --sparsity 0.5 --remove-dead -o out.onnx --force",
	}
	for _, f := range render.Formats() {
		lines = append(lines, "inspect %s --format "+f, "audit %s --per-layer --format "+f)
	}
	for what, graph := range graphs {
		for _, size := range []int{n, 4 * n} {
			var b dag.Builder
			graph(&b, size)
			net, err := b.Build()
			if err != nil {
				t.Fatal(err)
			}
			var file bytes.Buffer
			if err := onnxio.WriteNetwork(&file, net); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(fmt.Sprintf("%d.onnx", size), file.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		for _, line := range lines {
			allocated := func(size int) uint64 {
				var out, errs bytes.Buffer
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				code := Run(strings.Fields(strings.ReplaceAll(line, "%s", fmt.Sprintf("%d.onnx", size))), nil, &out, &errs)
				runtime.ReadMemStats(&after)
				if code != 0 {
					t.Fatalf("%s: %s: exit code %d: %s", what, line, code, &errs)
				}
				return after.TotalAlloc - before.TotalAlloc
			}
			allocated(n) // what is made once
			// Four times as much, and names and lists that grow.
			if a, c := allocated(n), allocated(4*n); c > 8*a {
				t.Errorf("%s: %s: %d layers take %d bytes, %d take %d", what, line, n, a, 4*n, c)
			}
		}
	}
}
