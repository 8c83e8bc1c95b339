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
