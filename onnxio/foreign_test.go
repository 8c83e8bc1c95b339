package onnxio_test

import (
	"testing"

	"github.com/relupath/relupath/onnxio"
)

// An operator of another domain that is named as one of ONNX's is not that one.
func TestForeignShape(t *testing.T) {
	for _, op := range []string{"Shape", "Size"} {
		for _, in := range [][]string{nil, {"", "h"}} {
			node := pbNode(op, "foreign", in, names("s"), pbString(7, "my"))
			model := pbModel(8, 17, pbInput("x", -1, -1), pbOutput("y", -1, 1), pbOutput("s", -1, 1), pbInitializer("w", []int64{2, 1}, 3, -1),
				pbNode("MatMul", "first", names("x", "w"), names("h")), node, pbNode("Relu", "last", names("h"), names("y")))
			if _, err := onnxio.Decode(model, onnxio.Options{InputShape: map[string][]int{"x": {1, 2}}}); err != nil {
				t.Errorf("%s of %q: %v", op, in, err)
			}
		}
	}
}
