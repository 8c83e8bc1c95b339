package topology

import (
	"testing"

	"github.com/relupath/relupath/onnxio/internal/wire"
	"github.com/relupath/relupath/onnxio/internal/wire/wiretest"
)

func TestDecodeSharedModels(t *testing.T) {
	files := append(wiretest.Files(t, "models", ".onnx"), wiretest.Files(t, "conformance", "model.onnx")...)
	for _, path := range files {
		f, err := wire.Open(path)
		if err != nil {
			t.Error(err)
			continue
		}
		g, err := Decode(f)
		if err != nil {
			t.Errorf("%s: %v", path, err)
		} else if len(g.Order) != len(f.Graph.Nodes) {
			t.Errorf("%s: %d nodes are in order, want %d", path, len(g.Order), len(f.Graph.Nodes))
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}
