package command

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio"
)

// TestInspectUnwritable: tensors that cannot be rewritten are told with their
// layer, several attributes of one node once.
func TestInspectUnwritable(t *testing.T) {
	stuck := func() *dag.Vector {
		p := dag.NewParam64("", []int{2}, []float64{1, 2})
		p.Storage, p.Reason = dag.Unwritable, "it is an attribute"
		return &dag.Vector{Use: dag.Use{Param: p}, Coef: 1}
	}
	var b dag.Builder
	in := b.Input("x", 2)
	at := b.Node(dag.Node{Name: "scaler", Source: "Scaler", In: []int{in}, Shape: []int{2}, Op: &dag.Linear{
		Map: &dag.Diagonal{Axis: dag.Axis{Outer: 1, N: 2, Inner: 1}}, Stages: []dag.Stage{{Add: stuck()}, {Mul: stuck()}},
	}})
	b.Output("y", b.Affine("fc", at, 1, []float64{1, 2}, nil))
	net, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	want := []unwritable{{"scaler", "", "it is an attribute"}}
	if diff := cmp.Diff(want, inspected("m.onnx", &onnxio.Model{Net: net}).Unwritable); diff != "" {
		t.Error(diff)
	}
}

// inspect counts parameters as audit does: without the running moments of
// BatchNormalization. 7066 is from testmodels/scripts/measures.py.
func TestInspectCountsAsAuditDoes(t *testing.T) {
	m, err := onnxio.Read("../../../../testmodels/usps_batchnorm.onnx", onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if got := inspected("m.onnx", m).Parameters; got != 7066 {
		t.Errorf("%d parameters, want 7066", got)
	}
}

// How far a rescaling reaches, counted by hand: of a hidden layer, the scale and shift of
// a normalizer and a last layer, the rows of the first two are free and the columns of the
// last take factors; the pins name their layers.
func TestInspectCoverage(t *testing.T) {
	var b dag.Builder
	x := b.Input("x", 2)
	standard := b.Node(dag.Node{Name: "norm", Source: "LayerNormalization", In: []int{b.Affine("in", x, 2, []float64{1, 2, 3, 4}, nil)}, Shape: []int{2}, Op: &dag.Func{
		Kind: dag.Normalizer, Why: "it divides", Apply: func(dst []float64, in ...[]float64) { copy(dst, in[0]) },
	}})
	scale := b.Node(dag.Node{Name: "scale", Source: "LayerNormalization", In: []int{standard}, Shape: []int{2}, Op: &dag.Linear{
		Map:    &dag.Diagonal{Axis: dag.Axis{Outer: 1, N: 2, Inner: 1}},
		Stages: []dag.Stage{{Mul: &dag.Vector{Use: dag.Use{Param: dag.NewParam64("gamma", []int{2}, []float64{1, 2})}, Coef: 1}}},
	}})
	hidden := b.Activation("relu", b.Affine("hidden", scale, 2, []float64{1, 2, 3, 4}, nil), 0)
	b.Output("y", b.Affine("out", hidden, 1, []float64{1, 2}, nil))
	net, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	r := inspected("m.onnx", &onnxio.Model{Net: net})
	want := coverage{Layers: 4, Scales: 1, Rows: 2, Columns: 2, RowShare: 2. / 4, ColumnShare: 2. / 3}
	if diff := cmp.Diff(want, r.Coverage); diff != "" {
		t.Error(diff)
	}
	pins := []pinned{
		{`enters "norm" (LayerNormalization), which is not homogeneous`, 2, 2, []string{"in"}},
		{`graph output "y"`, 1, 1, []string{"out"}},
	}
	if diff := cmp.Diff(pins, r.Groups.Pinned); diff != "" {
		t.Error(diff)
	}
}
