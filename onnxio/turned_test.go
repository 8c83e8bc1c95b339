package onnxio_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio"
)

// TestTurnedWeightsAreWritten: an operator that turns the axes of its weight before it multiplies reads,
// after a rescaling, what the file has in the order of its own axes. One weight may serve two of them,
// whose units have other factors: then it is written twice.
func TestTurnedWeightsAreWritten(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	weight := func(name string, dims ...int64) field {
		n := int64(1)
		for _, d := range dims {
			n *= d
		}
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
		return pbInitializer(name, dims, v...)
	}
	extent := map[rune]int64{'i': 3, 'j': 4, 'k': 2}
	free := 0
	for _, equation := range []string{
		"bi,ij->bj", "bi,ji->bj", "ji,bi->bj", "bi,kij->bkj", "bi,kji->bkj", "bi,jik->bkj", "bi,ijk->bkj", "bi,jki->bkj", "bi,ikj->bkj",
		"bi,kij->bjk", "bi,kij->kbj", "kji,bi->bkj", "bki,kij->bkj", "bki,kji->bkj", "bki,jik->bkj", "bki,ikj->bkj", "bki,kij->bj", "bki,jik->bj",
		"bki,jik->kbj", "bik,jik->bj", "bik,jki->bj", "bij,ji->b",
	} {
		terms := strings.Split(strings.ReplaceAll(equation, "->", ","), ",")
		w := 1
		if !strings.Contains(terms[0], "b") {
			w = 0
		}
		shape := func(labels string) (dims []int64) {
			for _, r := range labels {
				if r != 'b' {
					dims = append(dims, extent[r])
				}
			}
			return dims
		}
		size := func(labels string) int64 {
			n := int64(1)
			for _, d := range shape(labels) {
				n *= d
			}
			return n
		}
		in, out := size(terms[1-w]), size(terms[2])
		graph := []field{
			pbInput("x", -1, 5), pbOutput("y", -1, 2), weight("w", shape(terms[w])...),
			pbIntegers("operand", append([]int64{-1}, shape(terms[1-w])...)...), pbIntegers("flat", -1, out),
		}
		back := "axes" // the batch to the front
		for k, copy := range []string{"_1", "_2"} {
			operands := names("v"+copy, "w")
			if w == 0 {
				operands = names("w", "v"+copy)
			}
			graph = append(graph,
				weight("w1"+copy, 5, in), weight("b1"+copy, in), weight("w2"+copy, out, 2),
				pbNode("Gemm", "first"+copy, names("x", "w1"+copy, "b1"+copy), names("h"+copy)), pbNode("Relu", "relu"+copy, names("h"+copy), names("r"+copy)),
				pbNode("Reshape", "reshape"+copy, names("r"+copy, "operand"), names("v"+copy)),
				pbNode("Einsum", "einsum"+copy, operands, names("e"+copy), pbMessage(5, pbString(1, "equation"), pbBytes(4, []byte(equation)), pbInt(20, 3))),
			)
			e := "e" + copy
			if at := strings.Index(terms[2], "b"); at > 0 {
				perm := []int64{int64(at)}
				for i := range terms[2] {
					if i != at {
						perm = append(perm, int64(i))
					}
				}
				graph = append(graph, pbNode("Transpose", back+copy, names(e), names("t"+copy), attrOfInts("perm", perm...)))
				e = "t" + copy
			}
			graph = append(graph,
				pbNode("Reshape", "flatten"+copy, names(e, "flat"), names("f"+copy)), pbNode("Relu", "relu2"+copy, names("f"+copy), names("s"+copy)),
				pbNode("MatMul", "last"+copy, names("s"+copy, "w2"+copy), names("y"+copy)))
			if k == 0 {
				continue
			}
			graph = append(graph, pbNode("Add", "sum", names("y_1", "y_2"), names("y")))
		}
		m, err := onnxio.Decode(pbModel(8, 17, graph...), onnxio.Options{})
		if err != nil {
			t.Errorf("%s: %v", equation, err)
			continue
		}
		g := m.Net.Groups()
		for nd, l := range dag.Each[*dag.Linear](m.Net) {
			if nd.Source == "Einsum" && l.Map != nil && l.Map.Weight() != nil {
				for _, id := range g.Cols[nd.ID] {
					if id != dag.NoGroup && g.Pin[id] == "" {
						free++
						break
					}
				}
			}
		}
		for seed := range uint64(3) {
			scaled := randomly(t, m.Net, seed)
			var file bytes.Buffer
			if err := m.Write(&file, scaled); err != nil {
				t.Errorf("%s: %v", equation, err)
				break
			}
			again, err := onnxio.Decode(file.Bytes(), onnxio.Options{})
			if err != nil {
				t.Fatalf("%s: %v", equation, err)
			}
			for what, net := range map[string]*dag.Network{"given": m.Net, "rescaled": scaled} {
				if d := furthest(t, net, again.Net); d > 1e-5 { // weights are float32
					t.Errorf("%s: what is written differs from the network %s by %g", equation, what, d)
				}
			}
		}
	}
	if free < 30 {
		t.Errorf("%d weights with factors: too few to show anything", free)
	}
}
