package onnxio_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/onnxio"
)

// TestTensors: every stored tensor of two or more axes belongs to the layers that take
// their numbers from it, directly or through constants that are computed, or to none
// for a reason. The tensor "bias" has one axis and is not listed.
func TestTensors(t *testing.T) {
	node := func(op, out string, in ...string) field { return pbNode(op, out, in, names(out)) }
	m, err := onnxio.Decode(pbModel(8, 17,
		pbInput("x", -1, 1, 3, 3), pbOutput("y", -1, 2), pbOutput("z", -1, 2),
		pbInitializer("kernel", []int64{1, 1, 2, 2}, ramp(4)...), pbInitializer("shared", []int64{4, 4}, ramp(16)...),
		pbInitializer("out", []int64{2, 4}, ramp(8)...), pbInitializer("bias", []int64{4}, ramp(4)...),
		pbInitializer("limit", []int64{1, 2}, ramp(2)...), pbInitializer("idle", []int64{2, 2}, ramp(4)...),
		pbInitializer("only its shape", []int64{2, 2}, ramp(4)...), pbInitializer("late", []int64{4, 4}, ramp(16)...),
		pbNode("Transpose", "turned", names("kernel"), names("turned"), attrOfInts("perm", 0, 1, 3, 2)),
		node("Conv", "conv", "x", "turned"), node("Flatten", "flat", "conv"),
		node("MatMul", "h1", "flat", "shared"), node("Add", "b1", "h1", "bias"), node("Relu", "r1", "b1"), node("MatMul", "h2", "r1", "shared"),
		node("MatMul", "dead", "h2", "late"),
		node("Identity", "same", "out"), pbNode("Transpose", "back", names("same"), names("back"), attrOfInts("perm", 1, 0)), node("MatMul", "y", "h2", "back"),
		node("Less", "small", "y", "limit"), node("Where", "z", "small", "y", "limit"),
		node("Shape", "extents", "only its shape"),
	), onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	got := map[string]string{}
	for _, x := range m.Tensors() {
		s := ""
		for _, u := range x.Uses {
			s += fmt.Sprintf("%s %s, ", m.Net.Nodes[u.Node].Name, u.Role)
		}
		if x.Computed {
			s += "computed"
		}
		got[x.Name] = s + x.Reason
	}
	want := map[string]string{
		"kernel": "conv weight, computed",
		"shared": "h1 weight, h2 weight, ",
		"out":    "y weight, ",
		"limit":  "an operand of small (Less), a function: Less is not positively homogeneous",
		"idle":   "no output depends on its numbers",
		"late":   "no output depends on its numbers",
	}
	want["only its shape"] = want["idle"]
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
