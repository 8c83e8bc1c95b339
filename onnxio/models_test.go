package onnxio_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/eval"
	"github.com/relupath/relupath/onnxio"
)

var evalOptions = eval.Options{Threads: 2}

// refusedModels are shared models that cannot be read, with a part of what is said.
// ONNX Runtime loads none of them.
var refusedModels = map[string]string{
	"cog-imperial+OMLT/tests/models/maxpool_2d.onnx":              `node "node1" (MaxPool): kernel_shape has 3 entries, want 2`,
	"onnx+tutorials/tutorials/assets/super_resolution.onnx":       `does not say which version of the operators it means`,
	"verivital+ARCH-COMP2024/benchmarks/ACC/controller_5_20.onnx": `node "Operation_1" (Gemm): an operand of rank 4, want 2`,
}

// unevaluatedModels are shared models that are measured and not evaluated, with the
// reason.
var unevaluatedModels = map[string]string{
	"NeuHezxp+GAT420-AI-ML/Assets/ML-Agents/Examples/3DBall/TFModels/3DBall.onnx":                "it draws random numbers",
	"NeuralNetworkVerification+Marabou/resources/onnx/layer-zoo/dropout_training_mode_true.onnx": "it drops units at random",
}

// unrecorded are shared models without recorded outputs: why ONNX Runtime has
// none, or that TestInterop runs it.
var unrecorded = map[string]string{
	"dlshriver+dnnv-benchmarks/benchmarks/Neurify-DAVE/onnx/dave_small.onnx":                                  "see TestInterop",
	"AndyVale+fullyconnected_benchmarks_vnncomp/ACC/onnx/NET_0_1.5_5.onnx":                                    "ONNX Runtime: types differ",
	"AndyVale+fullyconnected_benchmarks_vnncomp/ACC/onnx/NET_2_1.5_5.onnx":                                    "ONNX Runtime: types differ",
	"AndyVale+fullyconnected_benchmarks_vnncomp/drones_1d_hovering/onnx/AC1.onnx":                             "ONNX Runtime: types differ",
	"AndyVale+fullyconnected_benchmarks_vnncomp/drones_1d_hovering/onnx/AC5.onnx":                             "ONNX Runtime: types differ",
	"AndyVale+fullyconnected_benchmarks_vnncomp/drones_1d_hovering/onnx/AC8.onnx":                             "ONNX Runtime: types differ",
	"fastmachinelearning+example-models/onnx/three_layer_bn_pytorch.onnx":                                     "ONNX Runtime: Gemm of opset 6 is not implemented",
	"fastmachinelearning+example-models/onnx/two_layer_pytorch.onnx":                                          "the declared batch is 789444: see TestInterop",
	"fastmachinelearning+qonnx/src/qonnx/data/onnx/residual_block_clean.onnx":                                 "see TestInterop",
	"intelligent-control-lab+ModelVerification.jl/models/small_nnet.onnx":                                     "ONNX Runtime: types differ",
	"microsoft+Windows-Machine-Learning/SharedContent/models/SqueezeNet_fp16.onnx":                            "see TestInterop",
	"tf-encrypted+moose/pymoose/pymoose/predictors/fixtures/MPL_classfier_1hidden_layers_10classes_relu.onnx": "an output is a map: see TestInterop",
}

// TestSharedModels reads the shared models, evaluates them on ONNX Runtime's
// recorded inputs, and prints the counts by role and what is left out.
func TestSharedModels(t *testing.T) {
	type count struct{ total, read, evaluated int }
	counts := map[string]*count{}
	var left []string
	for _, m := range sharedModels(t) {
		c := counts[m.role]
		if c == nil {
			c = &count{}
			counts[m.role] = c
		}
		c.total++
		t.Run(m.name, func(t *testing.T) {
			model, err := onnxio.Read(m.path, onnxio.Options{})
			if err != nil {
				left = append(left, fmt.Sprintf("%s: %v", m.role, err))
				var unsupported *onnxio.UnsupportedError
				switch want := refusedModels[m.name]; {
				case !errors.As(err, &unsupported) || unsupported.Obstacles[0].Node == "":
					t.Errorf("the refusal names no node: %v", err)
				case (want == "" || !strings.Contains(err.Error(), want)):
					t.Errorf("got %v, want %q", err, want)
				}
				return
			}
			defer model.Close()
			c.read++
			if refusedModels[m.name] != "" {
				t.Errorf("it was read, with the head %v", model.Head)
			}
			if m.expected == "" {
				if unrecorded[m.name] == "" {
					t.Error("it has no recorded outputs")
				}
				left = append(left, fmt.Sprintf("%s: %s: no recorded outputs: %s", m.role, m.name, unrecorded[m.name]))
				return
			}
			if why := unevaluatedModels[m.name]; why != "" {
				if text := strings.Join(model.Warnings, "; "); !strings.Contains(text, "not evaluated: "+why) {
					t.Errorf("warnings %q, want %q", text, why)
				}
				left = append(left, fmt.Sprintf("%s: %s: %s", m.role, m.name, why))
				return
			}
			// Float32 outputs differ by the order of summation over layers; float64
			// models were computed in float64 by ONNX Runtime as well.
			tol := 1e-4
			if m.role == "mlp-double" || m.role == "mlp-double-io" {
				tol = 1e-9
			}
			d, n := evaluateRecorded(t, model, readRecorded(t, m.expected))
			if !(d <= tol) {
				t.Errorf("outputs differ by %.3g relative to the largest, want %g", d, tol)
				return
			}
			if n == 0 {
				t.Error("no output was compared")
			}
			c.evaluated++
		})
	}
	for _, r := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("%-16s %3d models, %3d read, %3d with the recorded outputs", r, counts[r].total, counts[r].read, counts[r].evaluated)
	}
	slices.Sort(left)
	t.Logf("left out:\n%s", strings.Join(left, "\n"))
}
