package command

import (
	"bytes"
	"fmt"
	"math"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/onnxio"
	"github.com/relupath/relupath/testmodels"
)

// handMade is an audit of a model with measures of every kind: many outputs,
// beyond float64 on both sides, zero, undefined, negative, with a percentile, with a
// standard error.
func handMade(path string, outputs int, scale float64) auditedModel {
	ms := []analysis.Measure{
		{Name: "parameter_count", Value: scaled.New(269322), Defined: true, Invariant: true},
		{Name: "path_norm", P: "1", Value: scaled.FromLog2(4000).MulFloat(scale), Defined: true, Invariant: true},
		{Name: "path_norm", P: "2", Value: scaled.New(12.3 * scale), Defined: true, Invariant: true},
		{Name: "path_norm", P: "inf", Value: scaled.FromLog2(-4000), Defined: true, Invariant: true},
		{Name: "group_norm", P: "1", Q: "inf", Value: scaled.New(7), Defined: true},
		{Name: "sum_log_frobenius_squared", Value: scaled.New(-3.25), Defined: true},
		{Name: "zero_share", Value: scaled.New(0), Defined: true, Invariant: true},
		{Name: "spectral", Value: scaled.New(math.NaN()), Reason: "a weight is NaN or infinite, or a logarithm of zero is taken"},
		{Name: "pac_bayes_flatness", Value: scaled.New(48), StandardError: scaled.New(4.5), Defined: true},
		{Name: "margin", Percentile: 5, Value: scaled.New(1.5), Defined: true, Invariant: true},
	}
	for i := range outputs {
		ms = append(ms, analysis.Measure{
			Name: "path_norm_output", P: "2", Output: fmt.Sprintf("y[%d]", i),
			Value: scaled.New(float64(i) + 0.5), Defined: true, Invariant: true,
		})
	}
	for i := range ms {
		ms[i].Bias = "include"
	}
	r := &analysis.Report{
		Parameters: 269322, HiddenUnits: 512, Depth: 3, Paths: big.NewInt(514460170), Measures: ms,
		Layers: []analysis.Layer{
			{Name: "fc1", Op: "Gemm", Inputs: 784, Outputs: 256, Measures: ms[4:5]},
			{Name: "fc2", Op: "Gemm", Inputs: 256, Outputs: 10, Measures: ms[4:6]},
		},
		Warnings: []string{"NaN in \"fc1.weight\""},
	}
	m := &onnxio.Model{Producer: "pytorch", IRVersion: 8, Opset: 17, Preamble: []string{"Flatten"}, Head: []string{"Softmax"}}
	return newAudited(path, m, r)
}

func audited(models ...auditedModel) *auditJSON {
	return &auditJSON{Schema: "relupath.audit/1", Bias: "include", Models: models, Errors: []failure{}}
}

// auditGoldens compares a result with the golden file of every format.
func auditGoldens(t *testing.T, name string, r *auditJSON, perLayer bool) {
	t.Helper()
	r.perLayer = perLayer
	d := auditDocument(r)
	d.Records, d.Rows = auditRecords(r)
	goldens(t, name, d, auditPage(r))
}

func TestAuditOfOneModel(t *testing.T) {
	auditGoldens(t, "audit_one", audited(handMade("mlp.onnx", 3, 1)), true)
}

func TestAuditSideBySide(t *testing.T) {
	r := audited(handMade("models/a.onnx", 11, 1), handMade("models/b.onnx", 2, 3))
	bad := &onnxio.UnsupportedError{Path: "models/c.onnx", Obstacles: []onnxio.Obstacle{
		{Node: "mul", Op: "Mul", Reason: "the product of two activations is of degree 2", Remedy: "cut the model before it"},
		{Node: "#3", Op: "com.acme.Swish", Reason: "not positively homogeneous"},
	}}
	r.Errors = append(r.Errors, newFailure("models/c.onnx", bad), newFailure("d.onnx", fmt.Errorf("open d.onnx: no such file")))
	auditGoldens(t, "audit_two", r, false)
}

func TestAuditOfManyModels(t *testing.T) {
	r := audited()
	for i := range 6 {
		r.Models = append(r.Models, handMade(fmt.Sprintf("models/net_%d.onnx", i), 0, float64(i)))
	}
	auditGoldens(t, "audit_many", r, false)
}

// TestUnseenMeasures: a measure of layers that is asked for by name is shown, or
// the user is told how to see it.
func TestUnseenMeasures(t *testing.T) {
	model := filepath.Join(t.TempDir(), "toy.onnx")
	if err := os.WriteFile(model, testmodels.Bytes("toy"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		flags string
		told  bool
	}{{"", true}, {"--format csv", true}, {"--per-layer", false}, {"--format json", false}} {
		var out, errs bytes.Buffer
		args := append(strings.Fields("audit "+model+" --measures spectral,path_norm"), strings.Fields(c.flags)...)
		if code := Run(args, nil, &out, &errs); code != 0 {
			t.Fatalf("%v: exit code %d: %s", args, code, &errs)
		}
		told, shown := strings.Contains(errs.String(), "--per-layer shows: spectral\n"), strings.Contains(out.String(), "spectral")
		if told != c.told || shown == c.told {
			t.Errorf("%q: told %v, shown %v\n%s%s", c.flags, told, shown, &errs, &out)
		}
	}
}
