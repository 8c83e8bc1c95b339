package lower

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/onnxio/internal/source"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/topology"
	"github.com/relupath/relupath/onnxio/internal/wire"
	"github.com/relupath/relupath/onnxio/internal/wire/wiretest"
)

// vintages are the folders of ../shared/conformance, the columns of the table
// in docs/onnx.md: the backend test cases of three releases of ONNX, models
// converted from PyTorch's own tests, and small hand-made models.
var vintages = []string{"node-v1.2.1", "node-v1.7.0", "node", "pytorch-converted", "simple"}

// outcome is what became of one case.
type outcome struct {
	vintage, name, op string
	// refused is the reason, empty for a case that evaluates. With constant it
	// evaluates only when all inputs are constants: there is no network.
	refused  string
	constant bool
}

// TestConformance runs the ONNX project's backend cases. Inputs are bound to
// constants in turn, so that every operand of an operator is once the
// activation and once the weight; whatever is not refused must be right.
func TestConformance(t *testing.T) {
	var all []outcome
	for _, v := range vintages {
		for _, path := range wiretest.Files(t, filepath.Join("conformance", v), "model.onnx") {
			c := &conformanceCase{t: t, dir: filepath.Dir(path)}
			got := c.run()
			got.vintage, got.name = v, filepath.Base(c.dir)
			all = append(all, got)
		}
	}
	docSection(t, "conformance", conformanceTable(all))
}

// conformanceCase is one folder: a model and recorded inputs and outputs.
type conformanceCase struct {
	t   *testing.T
	dir string
	// inputs are the names of the inputs that are no initializers, outputs
	// those of the outputs.
	inputs, outputs []string
}

func (c *conformanceCase) run() outcome {
	data, err := os.ReadFile(filepath.Join(c.dir, "model.onnx"))
	if err != nil {
		c.t.Fatal(err)
	}
	f, err := wire.Parse(data, wire.Options{})
	if err != nil {
		return outcome{op: "(invalid)", refused: err.Error()}
	}
	stored := map[string]bool{}
	for _, x := range f.Graph.Initializers {
		stored[x.Name] = true
	}
	for _, x := range f.Graph.Inputs {
		if !stored[x.Name] {
			c.inputs = append(c.inputs, x.Name)
		}
	}
	for _, x := range f.Graph.Outputs {
		c.outputs = append(c.outputs, x.Name)
	}
	out := outcome{op: operatorOf(f)}
	sets, _ := filepath.Glob(filepath.Join(c.dir, "test_data_set_*"))
	if len(sets) == 0 {
		c.t.Fatalf("%s: no data", c.dir)
	}
	for _, set := range sets {
		ins, err := tensors(set, "input", len(c.inputs))
		var outs []*wire.Tensor
		if err == nil {
			outs, err = tensors(set, "output", len(c.outputs))
		}
		if err != nil {
			out.refused = "its values are no tensors"
			continue
		}
		evaluated, constant := 0, 0
		first := ""
		for _, acts := range variants(len(ins)) {
			err := c.check(f, ins, outs, acts)
			switch {
			case err == nil && len(acts) == 0 && len(ins) > 0:
				constant++
			case err == nil:
				evaluated++
			case first == "":
				first = reasonOf(c.t, err)
			}
		}
		if evaluated == 0 {
			if out.constant = constant > 0; !out.constant {
				out.refused = first
			}
		}
	}
	return out
}

// variants lists the sets of inputs that stay activations: all, each alone,
// none.
func variants(n int) [][]int {
	var out [][]int
	all := make([]int, n)
	for k := range n {
		all[k] = k
		out = append(out, []int{k})
	}
	if n != 1 {
		out = append(out, all)
	}
	if n > 0 {
		out = append(out, nil)
	}
	return out
}

// check evaluates the model with the inputs acts as activations and the others
// as constants. It returns why that is refused and fails for a wrong result.
func (c *conformanceCase) check(f *wire.File, ins, outs []*wire.Tensor, acts []int) error {
	t := c.t
	label := fmt.Sprintf("%s, activations %v", c.dir, acts)
	opt := Options{Whole: true, Bind: map[string]*wire.Tensor{}, InputShape: map[string][]int{}}
	for k, name := range c.inputs {
		if !slices.Contains(acts, k) {
			opt.Bind[name] = ins[k]
			continue
		}
		for _, d := range ins[k].Dims {
			opt.InputShape[name] = append(opt.InputShape[name], int(d))
		}
	}
	g, err := topology.Decode(f)
	if err != nil {
		return err
	}
	order, _ := live(g)
	l := lowerGraph(f, order, opt)
	if len(l.obstacles) > 0 {
		return &refusedCase{l.obstacles[0].Obstacle}
	}
	net, err := l.build()
	if err != nil {
		t.Errorf("%s: %v", label, err)
		return err
	}
	if len(l.unseen) > 0 {
		h := l.unseen[0]
		return &refusedCase{Obstacle{Op: h.op, Reason: h.reason}}
	}
	if len(l.outputs) < len(c.outputs) {
		return errors.New(l.warnings[0])
	}
	batch := 1
	var args [][]float64
	for _, p := range net.Inputs {
		x := numbers(t, ins[slices.Index(c.inputs, p.Name)])
		args = append(args, x)
		if n := net.Nodes[p.Node].Len(); n > 0 {
			batch = len(x) / n
		}
	}
	got, err := eval.Run(context.Background(), net, args, batch, eval.Options{})
	if err != nil {
		t.Errorf("%s: %v", label, err)
		return err
	}
	for k, name := range c.outputs {
		shape := l.values[name].shape
		if v := l.values[name]; v.constant() {
			shape = v.con.Dims
		}
		if diff := compareOutput(t, got[k], shape, batch, outs[k], roundedTo[filepath.Base(c.dir)]); diff != "" {
			t.Errorf("%s: output %q: %s", label, name, diff)
		}
	}
	return nil
}

// refusedCase is what a case is refused for.
type refusedCase struct{ Obstacle }

func (r *refusedCase) Error() string { return r.Op + ": " + r.Reason }

// roundedTo lists cases whose recorded numbers were written down with few
// digits, and a bit more than half a unit of the last.
var roundedTo = map[string]float64{"test_averagepool_2d_ceil_last_window_starts_on_pad": 6e-5}

// compareOutput tells how an evaluated output, batch first, differs from the
// recorded one.
func compareOutput(t *testing.T, got []float64, shape []int, batch int, want *wire.Tensor, tol float64) string {
	dims := make([]int, len(want.Dims))
	for i, d := range want.Dims {
		dims[i] = int(d)
	}
	b := slices.Index(shape, tensor.BatchDim)
	full := slices.Clone(shape)
	if b >= 0 {
		full[b] = batch
	}
	if !slices.Equal(full, dims) {
		return fmt.Sprintf("shape %v, want %v", full, dims)
	}
	w := numbers(t, want)
	if b > 0 {
		perm := []int{b}
		for i := range dims {
			if i != b {
				perm = append(perm, i)
			}
		}
		w = tensor.Permuted(w, dims, perm)
	}
	if len(got) < len(w) {
		return fmt.Sprintf("%d elements, want %d", len(got), len(w))
	}
	if b < 0 { // the same for each sample
		got = got[:len(w)]
	}
	largest := 0.0
	for _, x := range w {
		if x-x == 0 {
			largest = math.Max(largest, math.Abs(x))
		}
	}
	// The recorded numbers were computed and stored in the output's type: a few
	// roundings of the largest of them. Integers are exact.
	tol += map[wire.DataType]float64{wire.Float32: 1e-5, wire.Float64: 1e-10, wire.Float16: 2e-3, wire.BFloat16: 1e-2}[want.DType] * largest
	for i := range w {
		same := got[i] == w[i] || math.IsNaN(got[i]) && math.IsNaN(w[i]) || math.Abs(got[i]-w[i]) <= tol
		if !same {
			return fmt.Sprintf("element %d is %v, want %v (tolerance %.2g)", i, got[i], w[i], tol)
		}
	}
	return ""
}

// tensors reads the recorded inputs or outputs of one data set.
func tensors(dir, kind string, n int) ([]*wire.Tensor, error) {
	var out []*wire.Tensor
	for k := range n {
		data, err := os.ReadFile(filepath.Join(dir, fmt.Sprintf("%s_%d.pb", kind, k)))
		if err != nil {
			return nil, err
		}
		x, err := wire.ParseTensor(data)
		if err != nil {
			return nil, err
		}
		if n, err := x.Elems(); err != nil || (n > 0 && x.Encoding == wire.NoData) {
			return nil, errors.New("no tensor")
		}
		out = append(out, x)
	}
	return out, nil
}

// numbers returns the elements of a recorded tensor.
func numbers(t *testing.T, x *wire.Tensor) []float64 {
	t.Helper()
	con, err := tensor.Of(&source.Tensor{Wire: x, Initializer: -1})
	if err != nil {
		t.Fatal(err)
	}
	v, err := con.Float64s()
	if err != nil {
		return nil // a type that no network computes with
	}
	return v
}

// operatorOf names what a case is about: its operator, constants aside.
func operatorOf(f *wire.File) string {
	ops := map[string]bool{}
	for i := range f.Graph.Nodes {
		if n := &f.Graph.Nodes[i]; n.OpType != "Constant" || len(f.Graph.Nodes) == 1 {
			ops[opLabel(n)] = true
		}
	}
	if len(ops) == 1 {
		for op := range ops {
			return op
		}
	}
	return "several operators"
}

// reasonOf shortens a refusal to what is the same for all cases of its kind.
func reasonOf(t *testing.T, err error) string {
	if u, ok := errors.AsType[*refusedCase](err); ok {
		return fmt.Sprintf("%s: %s", u.Op, u.Reason)
	}
	t.Logf("other refusal: %v", err)
	return err.Error()
}

// conformanceTable is the text of docs/onnx.md: counts by operator and
// vintage, and the reasons of refusals.
func conformanceTable(all []outcome) string {
	type count struct{ right, constant, refused int }
	counts := map[string]map[string]*count{}
	reasons := map[string]map[string]int{}
	total := map[string]*count{}
	for _, c := range all {
		for _, m := range []map[string]*count{total, inner(counts, c.op)} {
			if m[c.vintage] == nil {
				m[c.vintage] = &count{}
			}
			switch n := m[c.vintage]; {
			case c.refused != "":
				n.refused++
			case c.constant:
				n.constant++
			default:
				n.right++
			}
		}
		if c.refused != "" {
			inner(reasons, c.refused)[c.op]++
		}
	}
	var b strings.Builder
	b.WriteString("Right / folded / not evaluated; a case counts as folded when it has no activation that a network\n" +
		"could be of, and its constants give the recorded result.\n\n")
	b.WriteString("| operator | " + strings.Join(vintages, " | ") + " |\n|---" + strings.Repeat("|---:", len(vintages)) + "|\n")
	row := func(name string, m map[string]*count) {
		fmt.Fprintf(&b, "| %s |", name)
		for _, v := range vintages {
			if n := m[v]; n != nil {
				fmt.Fprintf(&b, " %d / %d / %d |", n.right, n.constant, n.refused)
			} else {
				b.WriteString(" |")
			}
		}
		b.WriteString("\n")
	}
	for _, op := range slices.Sorted(maps.Keys(counts)) {
		row(op, counts[op])
	}
	row("**all**", total)
	b.WriteString("\nWhy they are not evaluated:\n\n| cases | reason | about |\n|---:|---|---|\n")
	keys := slices.Collect(maps.Keys(reasons))
	sum := func(k string) (n int) {
		for _, c := range reasons[k] {
			n += c
		}
		return n
	}
	slices.SortFunc(keys, func(x, y string) int {
		if d := sum(y) - sum(x); d != 0 {
			return d
		}
		return strings.Compare(x, y)
	})
	for _, k := range keys {
		fmt.Fprintf(&b, "| %d | %s | %s |\n", sum(k), strings.ReplaceAll(k, "|", "\\|"),
			strings.Join(slices.Sorted(maps.Keys(reasons[k])), ", "))
	}
	return b.String()
}

func inner[K comparable, V any](m map[string]map[K]V, key string) map[K]V {
	if m[key] == nil {
		m[key] = map[K]V{}
	}
	return m[key]
}
