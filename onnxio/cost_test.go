package onnxio_test

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio"
)

// allocated is what reading a model allocates, in bytes.
func allocated(t *testing.T, model []byte) uint64 {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m, err := onnxio.Decode(model, onnxio.Options{})
	runtime.ReadMemStats(&after)
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	return after.TotalAlloc - before.TotalAlloc
}

// TestCostIsLinear reads graphs of n and of 4 n nodes, values or numbers of each
// shape that was ever dear: what reading allocates follows the size of the file.
func TestCostIsLinear(t *testing.T) {
	x, w := pbInput("x", -1, 2), pbInitializer("w", []int64{2, 2}, 1, 2, 3, 4)
	y := pbOutput("y", -1, 2)
	each := func(n int, f func(k int) []field) []field {
		var all []field
		for k := range n {
			all = append(all, f(k)...)
		}
		return all
	}
	name := func(k int) string { return fmt.Sprintf("v%d", k) }
	before := func(k int) string {
		if k == 0 {
			return "x"
		}
		return name(k - 1)
	}
	many := func(n int) []string {
		out := make([]string, n)
		for k := range out {
			out[k] = name(k)
		}
		return out
	}
	for what, model := range map[string]func(n int) []byte{
		"layers": func(n int) []byte {
			return pbModel(8, 17, append(each(n, func(k int) []field {
				return []field{
					pbNode("MatMul", "", names(before(k), "w"), names(name(k)+"h")), pbNode("Relu", "", names(name(k)+"h"), names(name(k))),
				}
			}), x, w, pbOutput(name(n-1), -1, 2))...)
		},
		"biases": func(n int) []byte {
			return pbModel(8, 17, append(each(n, func(k int) []field {
				return []field{pbNode("Add", "", names(before(k), "b"), names(name(k)))}
			}), x, pbInitializer("b", []int64{2}, 1, 2), pbOutput(name(n-1), -1, 2))...)
		},
		"computed constants": func(n int) []byte {
			return pbModel(8, 17, append(each(n, func(k int) []field {
				at := before(k)
				if k == 0 {
					at = "one"
				}
				return []field{pbNode("Add", "", names(at, "one"), names(name(k)))}
			}), x, y, pbInitializer("one", []int64{2}, 1, 1), pbNode("Add", "", names("x", name(n-1)), names("y")))...)
		},
		"conditions": func(n int) []byte {
			return pbModel(8, 17, append(each(n, func(k int) []field {
				side := func(which, op string) field {
					out := name(k) + which
					return pbGraphAttribute(which, pbNode(op, "", names(before(k)), names(out)), pbOutput(out, -1, 2))
				}
				return []field{pbNode("If", "", names("yes"), names(name(k)), side("then_branch", "Relu"), side("else_branch", "Sigmoid"))}
			}), x, pbOutput(name(n-1), -1, 2), pbNode("Constant", "", nil, names("one"), pbMessage(5, pbString(1, "value_float"), pbFloat(2, 1), pbInt(20, 1))),
				pbNode("Cast", "", names("one"), names("yes"), attrOfInt("to", 9)))...)
		},
		"a wide sum": func(n int) []byte {
			return pbModel(8, 17, append(each(n, func(k int) []field {
				return []field{pbNode("Relu", "", names("x"), names(name(k)))}
			}), x, y, pbNode("Sum", "", many(n), names("y")))...)
		},
		"a wide split": func(n int) []byte {
			return pbModel(8, 11, pbInput("x", -1, int64(n)), pbOutput("y", -1, int64(n)),
				pbNode("Split", "", names("x"), many(n), attrOfInt("axis", 1)), pbNode("Concat", "", many(n), names("y"), attrOfInt("axis", 1)))
		},
		"inputs": func(n int) []byte {
			return pbModel(8, 17, append(each(n, func(k int) []field { return []field{pbInput(name(k), -1, 1)} }),
				pbOutput("y", -1, int64(n)), pbNode("Concat", "", many(n), names("y"), attrOfInt("axis", 1)))...)
		},
		"outputs": func(n int) []byte {
			return pbModel(8, 17, append(each(n, func(k int) []field {
				return []field{pbOutput(name(k), -1, 2), pbNode("Relu", "", names("x"), names(name(k)))}
			}), x)...)
		},
		"initializers": func(n int) []byte {
			return pbModel(8, 17, append(each(n, func(k int) []field { return []field{pbInitializer(name(k), []int64{1}, 1)} }),
				x, y, w, pbNode("MatMul", "", names("x", "w"), names("y")))...)
		},
		"packed integers": func(n int) []byte {
			packed := make([]byte, 100*n)
			return pbModel(8, 17, x, y, pbNode("Relu", "", names("x"), names("y"),
				pbMessage(5, pbString(1, "__list"), pbBytes(8, packed), pbInt(20, 7))))
		},
	} {
		const n = 2000
		small, large := model(n), model(4*n)
		a, b := allocated(t, small), allocated(t, large)
		// Lists grow by up to twice, and names get longer.
		if a < 1<<20 && b < 4<<20 {
			continue
		}
		if b > 8*a {
			t.Errorf("%s: %d bytes take %d, %d bytes take %d", what, len(small), a, len(large), b)
		}
		t.Logf("%s: %.1f and %.1f times the file", what, float64(a)/float64(len(small)), float64(b)/float64(len(large)))
	}
}

// TestWritingIsLinear rescales networks whose n layers share one tensor, so that each needs one of
// its own in the written file, as bounds of caps and normalisations do.
func TestWritingIsLinear(t *testing.T) {
	chain := func(n int, behind func(k int, from, to string) field) []byte {
		nodes := []field{
			pbInput("v0", -1, 2), pbOutput(fmt.Sprintf("v%d", n), -1, 2), pbInitializer("w", []int64{2, 2}, 1, 2, 3, 4),
			pbInitializer("ones", []int64{2}, 1, 1), pbInitializer("zeros", []int64{2}, 0, 0), pbInitializer("lo", nil, 0), pbInitializer("hi", nil, 6),
		}
		for k := range n {
			h := fmt.Sprintf("h%d", k)
			nodes = append(nodes, pbNode("MatMul", "", names(fmt.Sprintf("v%d", k), "w"), names(h)), behind(k, h, fmt.Sprintf("v%d", k+1)))
		}
		return pbModel(8, 17, nodes...)
	}
	for what, behind := range map[string]func(k int, from, to string) field{
		"ReLUs": func(_ int, from, to string) field { return pbNode("Relu", "", names(from), names(to)) },
		"caps":  func(_ int, from, to string) field { return pbNode("Clip", "", names(from, "lo", "hi"), names(to)) },
		"normalisations": func(_ int, from, to string) field {
			return pbNode("BatchNormalization", "", names(from, "ones", "zeros", "zeros", "ones"), names(to))
		},
	} {
		written := func(n int) uint64 {
			m, err := onnxio.Decode(chain(n, behind), onnxio.Options{})
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			defer m.Close()
			g := m.Net.Groups()
			factors := g.Ones()
			for k := range factors {
				if g.Pin[k] == "" {
					factors[k] = 1 + float64(k+1)/float64(3*n) // all different
				}
			}
			net, err := m.Net.Rescale(g, factors)
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			if err := m.Write(io.Discard, net); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			runtime.ReadMemStats(&after)
			return after.TotalAlloc - before.TotalAlloc
		}
		a, b := written(500), written(2000)
		if b > 6*a {
			t.Errorf("%s: 500 layers take %d bytes, 2000 take %d", what, a, b)
		}
		t.Logf("%s: %.1f times the bytes for 4 times the layers", what, float64(b)/float64(a))
	}
}

// TestDoublingConstants: constants that double at each node are refused while they are
// small, whatever doubles them.
func TestDoublingConstants(t *testing.T) {
	for op, second := range map[string]string{"Tile": "two", "Expand": "shape", "Concat": "c"} {
		nodes := []field{
			pbInput("x", -1, 2), pbInitializer("c", []int64{4}, 1, 2, 3, 4), pbIntegers("two", 2), pbIntegers("shape", 2, 1), pbIntegers("flat", -1),
			pbInitializer("w", []int64{2, 2}, 1, 2, 3, 4), pbOutput("y", -1, 2),
		}
		at := "c"
		for k := range 30 {
			next := fmt.Sprintf("c%d", k)
			var attr []field
			if op == "Concat" {
				second, attr = at, []field{attrOfInt("axis", 0)}
			}
			nodes = append(nodes, pbNode(op, "", names(at, second), names(next+"r"), attr...), pbNode("Reshape", "", names(next+"r", "flat"), names(next)))
			at = next
		}
		nodes = append(nodes, pbNode("ReduceSum", "", names(at), names("s"), attrOfInt("keepdims", 0)),
			pbNode("MatMul", "", names("x", "w"), names("m")), pbNode("Add", "", names("m", "s"), names("y")))
		model := pbModel(8, 17, nodes...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := onnxio.Decode(model, onnxio.Options{})
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: 16 GiB of constants are accepted", op)
		}
		// The budget of 128 MiB, and what was made on the way to it.
		if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 800 {
			t.Errorf("%s: %d MiB were allocated before %v", op, n, err)
		}
	}
}

// TestProductsOfConstants: products that a few bytes ask for end with a sentence before
// they take longer than the file is worth.
func TestProductsOfConstants(t *testing.T) {
	const side, products = 512, 40 // 2^27 multiplications each
	for _, op := range []string{"MatMul", "Einsum", "LRN"} {
		var attr []field
		of, shape := names("c0"), []int64{side, side}
		switch op {
		case "Einsum":
			attr = []field{pbMessage(5, pbString(1, "equation"), pbString(4, "ij,jk->ik"), pbInt(20, 3))}
		case "LRN":
			attr = []field{attrOfInt("size", 2*side)}
			of, shape = nil, []int64{1, side, side}
		}
		nodes := []field{
			pbInput("x", -1, 2), pbInitializer("w", []int64{2, 2}, 1, 2, 3, 4), pbOutput("y", -1, 2),
			pbIntegers("square", shape...), pbNode("ConstantOfShape", "", names("square"), names("c0")),
		}
		for k := range products {
			nodes = append(nodes, pbNode(op, "", append(slices.Clone(of), "c"+strconv.Itoa(k)), names("c"+strconv.Itoa(k+1)), attr...))
		}
		nodes = append(nodes, pbNode("ReduceSum", "", names("c"+strconv.Itoa(products)), names("s"), attrOfInt("keepdims", 0)),
			pbNode("MatMul", "", names("x", "w"), names("m")), pbNode("Add", "", names("m", "s"), names("y")))
		_, err := onnxio.Decode(pbModel(8, 17, nodes...), onnxio.Options{})
		want := `node "#9" (` + op + `): the products of constants up to it take more than 107`
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", op, err, want)
		}
	}
}

// TestOneLimitInside: what functions and branches ask for beyond a limit that is exceeded before them is no obstacle of
// its own, and neither is that their values are not made.
func TestOneLimitInside(t *testing.T) {
	const side, products = 512, 9 // 2^27 multiplications each, of which eight are within the limit
	branch := func(name string) field {
		return pbGraphAttribute(name, pbNode("MatMul", "", names("c", "c"), names("inner")), pbOutput("inner", side, side))
	}
	for what, last := range map[string]field{
		"function": pbNode("F", "", names("c"), names("last"), pbString(7, "local")),
		"branch":   pbNode("If", "", names("yes"), names("last"), branch("then_branch"), branch("else_branch")),
	} {
		nodes := []field{
			pbInput("x", -1, side), pbOutput("y", -1, side), pbIntegers("square", side, side), pbNode("ConstantOfShape", "", names("square"), names("c")),
			pbIntegers("one", 1), pbNode("Cast", "", names("one"), names("true"), attrOfInt("to", 9)), pbNode("Squeeze", "", names("true"), names("yes")),
		}
		var sum []string
		for k := range products {
			sum = append(sum, "c"+strconv.Itoa(k))
			nodes = append(nodes, pbNode("MatMul", "", names("c", "c"), names(sum[k])))
		}
		nodes = append(nodes, last, pbNode("Sum", "", append(sum, "last"), names("s")), pbNode("MatMul", "", names("x", "s"), names("y")))
		f := pbFunction("F", names("c"), names("f"), nil, pbNodeFields("MatMul", "", names("c", "c"), names("f")))
		_, err := onnxio.Decode(withFunctions(pbModel(8, 17, nodes...), f), onnxio.Options{})
		if err == nil || !strings.Contains(err.Error(), "the products of constants up to it take more than") || strings.Contains(err.Error(), "obstacles") {
			t.Errorf("%s: %v, want the one limit", what, err)
		}
	}
}

// TestLayersOnConstants: what operators that are layers make of constants counts by its
// bytes, as what is computed of constants at once.
func TestLayersOnConstants(t *testing.T) {
	const k = 6000 // 36 million elements
	half := []int64{k / 2, k / 2, k / 2, k / 2}
	for op, nodes := range map[string][]field{
		"Pad":                  {pbIntegers("p", 0, 0, 0, 0, 0, 0, k, k), pbNode("Pad", "", names("c", "p"), names("big"))},
		"Conv":                 {pbInitializer("k", []int64{1, 1, 3, 3}, 1, 2, 3, 4, 5, 6, 7, 8, 9), pbNode("Conv", "", names("c", "k"), names("big"), attrOfInts("pads", half...))},
		"ConvTranspose":        {pbInitializer("k", []int64{1, 1, 1, 1}, 1), pbNode("ConvTranspose", "", names("c", "k"), names("big"), attrOfInts("strides", k-1, k-1))},
		"Resize by neighbours": {pbInitializer("s", []int64{4}, 1, 1, k/2, k/2), pbNode("Resize", "", names("c", "", "s"), names("big"))},
		"Resize":               {pbInitializer("s", []int64{4}, 1, 1, k/2, k/2), pbNode("Resize", "", names("c", "", "s"), names("big"), attrOfString("mode", "linear"))},
	} {
		model := pbModel(8, 17, append(nodes,
			pbInput("x", -1, 2), pbInitializer("c", []int64{1, 1, 2, 2}, 1, 2, 3, 4), pbIntegers("flat", -1), pbIntegers("from", 0), pbIntegers("to", 2),
			pbInitializer("w", []int64{2, 2}, 1, 2, 3, 4), pbOutput("y", -1, 2),
			pbNode("Reshape", "", names("big", "flat"), names("r")), pbNode("Slice", "", names("r", "from", "to"), names("s2")),
			pbNode("MatMul", "", names("x", "w"), names("m")), pbNode("Add", "", names("m", "s2"), names("y")))...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := onnxio.Decode(model, onnxio.Options{})
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), "128 MiB") {
			t.Errorf("%s: %v", op, err)
		}
		// The budget of 128 MiB.
		if n := (after.TotalAlloc - before.TotalAlloc) >> 20; n > 400 {
			t.Errorf("%s: %d MiB were allocated before %v", op, n, err)
		}
	}
}

// TestOneNumberForManyElements: a scalar added to a value that a few bytes make of four million
// elements is one unit, and one for each channel where there are some; a stored one can be rescaled.
func TestOneNumberForManyElements(t *testing.T) {
	const n = 4 << 20
	for shape, rows := range map[string]int{"flat": 1, "channels": 4} {
		dims := map[string][]int64{"flat": {-1, n}, "channels": {-1, 4, n / 4}}[shape]
		m, err := onnxio.Decode(pbModel(8, 17, pbInput("x", -1, 4), pbOutput("y"),
			pbIntegers("to", dims...), pbIntegers("ax", 1), pbIntegers("times", 1, n/4), pbInitializer("c", nil, 0.5),
			pbNode("Tile", "", names("x", "times"), names("t")), pbNode("Reshape", "", names("t", "to"), names("v")),
			pbNode("Add", "", names("v", "c"), names("s")), pbNode("Relu", "", names("s"), names("r")),
			pbNode("ReduceSum", "", names("r", "ax"), names("y"))), onnxio.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for nd, l := range dag.Each[*dag.Linear](m.Net) {
			if nd.Len() == n && l.Rows() != rows {
				t.Errorf("%s: %d units, want %d", shape, l.Rows(), rows)
			}
		}
	}
}

// TestOneLimitIsTold: of nodes that each ask for more than any file may, the first is named.
func TestOneLimitIsTold(t *testing.T) {
	nodes := []field{
		pbInput("x", -1, 2), pbInitializer("w", []int64{2, 2}, 1, 2, 3, 4), pbOutput("y", -1, 2), pbIntegers("many", 1<<25),
		pbNode("MatMul", "", names("x", "w"), names("m")),
	}
	sum := names("m")
	for k := range 9 {
		c := strconv.Itoa(k)
		nodes = append(nodes, pbNode("ConstantOfShape", "", names("many"), names("c"+c)),
			pbNode("ReduceSum", "", names("c"+c), names("s"+c), attrOfInt("keepdims", 0)))
		sum = append(sum, "s"+c)
	}
	_, err := onnxio.Decode(pbModel(8, 17, append(nodes, pbNode("Sum", "", sum, names("y")))...), onnxio.Options{})
	var unsupported *onnxio.UnsupportedError
	if !errors.As(err, &unsupported) || len(unsupported.Obstacles) != 1 {
		t.Errorf("%v, want one obstacle", err)
	}
}
