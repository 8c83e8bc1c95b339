package onnxio_test

import (
	"fmt"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio"
)

// Blocks that turn their values in the same ways share the indexes, and a number that
// multiplies all elements has no number for each of them.
func TestBlocksShareIndexes(t *testing.T) {
	const blocks, heads, steps, size = 6, 4, 32, 8
	fields := []field{
		pbInput("x0", -1, steps, heads*size), pbIntegers("split", 0, steps, heads, size), pbInitializer("root", nil, 0.5),
		pbOutput(fmt.Sprintf("x%d", blocks), -1, steps, heads*size), pbIntegers("join", 0, steps, heads*size),
	}
	for k := range blocks {
		n := func(s string) string { return fmt.Sprintf("%s%d", s, k) }
		fields = append(fields,
			pbNode("Reshape", "", names(n("x"), "split"), names(n("r"))),
			pbNode("Transpose", "", names(n("r")), names(n("t")), attrOfInts("perm", 0, 2, 1, 3)),
			pbNode("Mul", "", names(n("t"), "root"), names(n("m"))),
			pbNode("Sigmoid", "", names(n("m")), names(n("s"))),
			pbNode("Transpose", "", names(n("s")), names(n("b")), attrOfInts("perm", 0, 2, 1, 3)),
			pbNode("Reshape", "", names(n("b"), "join"), names(fmt.Sprintf("x%d", k+1))))
	}
	m, err := onnxio.Decode(pbModel(8, 17, fields...), onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	indexes, scales := map[*int32]int{}, 0
	for i := range m.Net.Nodes {
		switch op := m.Net.Nodes[i].Op.(type) {
		case *dag.Select:
			if len(op.Index) > 0 {
				indexes[&op.Index[0]] = len(op.Index)
			}
		case *dag.Linear:
			scales += len(op.Scale())
		}
	}
	// One index for each of the two transposes.
	if len(indexes) != 2 {
		t.Errorf("%d lists of the places of %d elements: want 2", len(indexes), heads*steps*size)
	}
	if scales != blocks*size {
		t.Errorf("%d factors for %d products with one number", scales, blocks)
	}
}
