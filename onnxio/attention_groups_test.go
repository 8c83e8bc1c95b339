package onnxio_test

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/relupath/relupath/onnxio"
)

// Queries and keys have inverse factors: one for each of a head's coordinates, one for each
// pair of them behind a rotary embedding, and heads that share keys share them. Values have
// one a unit. Factors change nothing, also through a file, and factors of queries that
// forget the keys do.
func TestFactorsOfAttention(t *testing.T) {
	const steps, head = 3, 4
	for _, c := range []struct {
		name          string
		heads, shared int64 // of queries, and of keys and values
		rotary        bool
		free          int
	}{
		{"one head a key", 2, 2, false, 8 + 8},
		{"rotary", 2, 2, true, 4 + 8},
		{"grouped queries", 2, 1, false, 4 + 4},
		{"grouped queries, rotary", 4, 2, true, 4 + 8},
	} {
		t.Run(c.name, func(t *testing.T) {
			var nodes []field
			add := func(op, out string, in []string, attr ...field) string {
				nodes = append(nodes, pbNode(op, out, in, names(out), attr...))
				return out
			}
			weight := func(name string, rows, cols int64) {
				w := ramp(int(rows * cols))
				for i := range w {
					w[i] = float32(math.Sin(float64(i*i) + float64(len(name)) + float64(name[1])))
				}
				nodes = append(nodes, pbInitializer(name, []int64{rows, cols}, w...))
			}
			// heads is x W as heads x steps x head, mixed in pairs where asked for.
			heads := func(name string, n int64, rotary bool) string {
				weight("w"+name, 5, n*head)
				nodes = append(nodes, pbIntegers("shape_"+name, -1, steps, n, head))
				v := add("MatMul", "mm_"+name, names("x", "w"+name))
				v = add("Reshape", "split_"+name, names(v, "shape_"+name))
				v = add("Transpose", "heads_"+name, names(v), attrOfInts("perm", 0, 2, 1, 3))
				if !rotary {
					return v
				}
				lo := add("Slice", "lo_"+name, names(v, "zero", "half", "last"))
				hi := add("Slice", "hi_"+name, names(v, "half", "end", "last"))
				turned := add("Concat", "turned_"+name, names(add("Neg", "neg_"+name, names(hi)), lo), attrOfInt("axis", -1))
				return add("Add", "rotated_"+name, names(add("Mul", "cos_"+name, names(v, "cos")), add("Mul", "sin_"+name, names(turned, "sin"))))
			}
			// repeated has the heads of keys or values once for each head of queries.
			repeated := func(v string) string {
				if c.heads == c.shared {
					return v
				}
				v = add("Unsqueeze", v+"_u", names(v, "two"))
				v = add("Expand", v+"_e", names(v, "times"))
				return add("Reshape", v+"_r", names(v, "joined"))
			}
			inputs := []field{pbInput("x", -1, steps, 5)}
			if c.rotary { // the second half of a head turns as the first
				inputs = append(inputs, pbInput("angle", -1, 1, steps, head/2))
				both := add("Concat", "angles", names("angle", "angle"), attrOfInt("axis", -1))
				add("Cos", "cos", names(both))
				add("Sin", "sin", names(both))
			}
			nodes = append(nodes,
				pbIntegers("zero", 0), pbIntegers("half", head/2), pbIntegers("end", head), pbIntegers("last", -1), pbIntegers("two", 2),
				pbIntegers("times", 1, c.shared, c.heads/c.shared, steps, head), pbIntegers("joined", -1, c.heads, steps, head),
				pbIntegers("flat", -1, steps, c.heads*head))
			q, k, v := heads("q", c.heads, c.rotary), heads("k", c.shared, c.rotary), heads("v", c.shared, false)
			k = add("Transpose", "kt", names(repeated(k)), attrOfInts("perm", 0, 1, 3, 2))
			scores := add("Softmax", "softmax", names(add("MatMul", "scores", names(q, k))), attrOfInt("axis", -1))
			mixed := add("MatMul", "mixed", names(scores, repeated(v)))
			mixed = add("Reshape", "flattened", names(add("Transpose", "back", names(mixed), attrOfInts("perm", 0, 2, 1, 3)), "flat"))
			weight("wo", c.heads*head, 2)
			nodes = append(nodes, pbNode("MatMul", "out", names(mixed, "wo"), names("y")))
			model := slices.Concat(inputs, []field{pbOutput("y", -1, steps, 2)}, nodes)
			m, err := onnxio.Decode(pbModel(8, 17, model...), onnxio.Options{})
			if err != nil {
				t.Fatal(err)
			}
			g := m.Net.Groups()
			if got := g.Free(); got != c.free {
				t.Errorf("%d factors are free, want %d: pins %q", got, c.free, g.Pin)
			}
			scaled := randomly(t, m.Net, 3)
			// Float32 weights, rounded once more.
			if d := furthest(t, m.Net, scaled); d > 1e-6 {
				t.Errorf("the function changed by %g", d)
			}
			var out bytes.Buffer
			if err := m.Write(&out, scaled); err != nil {
				t.Fatal(err)
			}
			if d := furthest(t, m.Net, decode(t, out.Bytes())); d > 1e-6 {
				t.Errorf("the written model differs by %g", d)
			}
			for id := range g.Count {
				if g.Pin[id] != "" || g.Follows(id) {
					continue
				}
				wrong, factors := *g, g.Ones()
				wrong.Inverse = slices.Repeat([]int32{-1}, g.Count)
				wrong.Cols = make([][]int32, len(g.Cols))
				for i, ids := range g.Cols { // no column takes a factor back
					wrong.Cols[i] = make([]int32, len(ids))
				}
				factors[id] = 3
				bad, err := m.Net.Rescale(&wrong, factors)
				if err != nil {
					t.Fatal(err)
				}
				if d := furthest(t, m.Net, bad); d < 1e-3 {
					t.Errorf("a wrong factor of group %d changes the function by %g only", id, d)
				}
			}
		})
	}
}
