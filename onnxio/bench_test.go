package onnxio_test

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio"
)

// writeWide writes 784-4000-4000-10 in float32, 76 MB, and returns its path.
func writeWide(b *testing.B) string {
	var d dag.Builder
	at := d.Input("x", 784)
	widths := []int{784, 4000, 4000, 10}
	for k, rows := range widths[1:] {
		cols := widths[k]
		w := make([]float32, rows*cols)
		for i := range w {
			w[i] = float32(i%17-8) / 64
		}
		l := &dag.Linear{Map: &dag.Dense{W: dag.Use{Param: dag.NewParam32("W", dag.Float32, []int{rows, cols}, w)}, Rows: rows, Cols: cols}}
		at = d.Node(dag.Node{Name: "fc", Source: "Gemm", In: []int{at}, Shape: []int{rows}, Op: l})
		if k+2 < len(widths) {
			at = d.Activation("relu", at, 0)
		}
	}
	d.Output("y", at)
	n, err := d.Build()
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "wide.onnx")
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	if err := errors.Join(onnxio.WriteNetwork(f, n), f.Close()); err != nil {
		b.Fatal(err)
	}
	return path
}

// BenchmarkFile reads and writes a file of 76 MB; Copy is the copy that writing
// is measured by.
func BenchmarkFile(b *testing.B) {
	path := writeWide(b)
	m, err := onnxio.Read(path, onnxio.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer m.Close()
	scaled := randomly(b, m.Net, 1)
	out := filepath.Join(b.TempDir(), "out.onnx")
	b.Run("Read", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			m, err := onnxio.Read(path, onnxio.Options{})
			if err != nil {
				b.Fatal(err)
			}
			m.Close()
		}
	})
	b.Run("Write/rescaled", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := m.WriteFile(out, scaled, onnxio.WriteOptions{SkipSync: true}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Write/unedited", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := m.WriteFile(out, m.Net, onnxio.WriteOptions{SkipSync: true}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Copy", func(b *testing.B) {
		for b.Loop() {
			from, err := os.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			to, err := os.Create(out)
			if err != nil {
				b.Fatal(err)
			}
			// Hiding the file's methods keeps the system from sharing blocks.
			if _, err := io.Copy(struct{ io.Writer }{to}, struct{ io.Reader }{from}); err != nil {
				b.Fatal(err)
			}
			from.Close()
			to.Close()
		}
	})
}
