package wire

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// benchmarkModel writes a network of the given widths and returns its path.
func benchmarkModel(b *testing.B, widths ...int64) string {
	b.Helper()
	m := Model{IRVersion: 8, OpsetImports: []Opset{{"", 13}}}
	g := Graph{
		Name:    "mlp",
		Inputs:  []ValueInfo{{Name: "x", Tensor: true, ElemType: Float32, HasShape: true, Dims: []Dim{{Param: "batch"}, {Known: true, Value: widths[0]}}}},
		Outputs: []ValueInfo{{Name: fmt.Sprint("y", len(widths)-1)}},
	}
	from := "x"
	for i, n := range widths[1:] {
		w, y := fmt.Sprint("w", i+1), fmt.Sprint("y", i+1)
		g.Initializers = append(g.Initializers, NewTensor(w, Float32, []int64{n, widths[i]}, RawBytes(make([]byte, 4*n*widths[i]))))
		g.Nodes = append(g.Nodes, Node{OpType: "Gemm", Inputs: []string{from, w}, Outputs: []string{y}})
		from = y
	}
	path := filepath.Join(b.TempDir(), "m.onnx")
	fd, err := os.Create(path)
	check(b, err)
	_, err = Build(fd, &m, &g)
	check(b, err)
	check(b, fd.Close())
	return path
}

func BenchmarkOpen(b *testing.B) {
	path := benchmarkModel(b, 784, 4000, 4000, 10)
	b.ReportAllocs()
	for b.Loop() {
		f, err := Open(path)
		check(b, err)
		check(b, f.Close())
	}
}

func BenchmarkPatch(b *testing.B) {
	path := benchmarkModel(b, 784, 4000, 4000, 10)
	data := make([]byte, 4*4000*4000)
	for _, c := range []struct {
		name string
		to   func(io.Writer) io.Writer
	}{
		{"discard", func(io.Writer) io.Writer { return io.Discard }},
		{"file", func(w io.Writer) io.Writer { return w }},
	} {
		b.Run(c.name, func(b *testing.B) {
			out := filepath.Join(b.TempDir(), "out.onnx")
			b.ReportAllocs()
			for b.Loop() {
				f, err := Open(path)
				check(b, err)
				p := NewPatch(f)
				check(b, p.ReplaceInitializer(1, RawBytes(data)))
				fd, err := os.Create(out)
				check(b, err)
				n, err := p.WriteTo(c.to(fd))
				check(b, err)
				b.SetBytes(n)
				check(b, fd.Close())
				check(b, f.Close())
			}
		})
	}
	b.Run("copy", func(b *testing.B) {
		out := filepath.Join(b.TempDir(), "out.onnx")
		for b.Loop() {
			in, err := os.Open(path)
			check(b, err)
			fd, err := os.Create(out)
			check(b, err)
			n, err := io.CopyBuffer(struct{ io.Writer }{fd}, struct{ io.Reader }{in}, make([]byte, 1<<18))
			check(b, err)
			b.SetBytes(n)
			check(b, fd.Close())
			check(b, in.Close())
		}
	})
}
