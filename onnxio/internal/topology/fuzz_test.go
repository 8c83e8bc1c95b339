package topology

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/relupath/relupath/onnxio/internal/wire"
	"github.com/relupath/relupath/onnxio/internal/wire/wiretest"
)

// FuzzDecode checks that the wiring of any parsed file is either refused or
// complete, that onnx-go does not panic on a skeleton, and that it never
// disagrees with the index.
func FuzzDecode(f *testing.F) {
	g := graphOf("Mul: x x -> a", "Constant: -> c", "Clip: a _ c -> b _ d", "Add: b w -> y")
	var b bytes.Buffer
	if _, err := wire.Build(&b, &wire.Model{}, &g); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	if os.Getenv("RELUPATH_SHARED") != "" {
		for _, path := range wiretest.Files(f, "conformance", "model.onnx") {
			if data, err := os.ReadFile(path); err == nil && len(data) < 500 {
				f.Add(data)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := wire.Parse(data, wire.Options{})
		if err != nil {
			return
		}
		g, err := Decode(file)
		if err != nil {
			if strings.Contains(err.Error(), "disagree") || strings.Contains(err.Error(), "onnx-go failed") {
				t.Fatal(err)
			}
			return
		}
		all := slices.Sorted(slices.Values(g.Order))
		for k := range file.Graph.Nodes {
			if all[k] != k {
				t.Fatalf("order %v does not hold every node once", g.Order)
			}
		}
	})
}
