package wire

import (
	"testing"

	"github.com/relupath/relupath/onnxio/internal/wire/wiretest"
)

func TestOpenSharedModels(t *testing.T) {
	files := append(wiretest.Files(t, "models", ".onnx"), wiretest.Files(t, "conformance", "model.onnx")...)
	for _, path := range files {
		f, err := Open(path)
		if err != nil {
			t.Error(err)
			continue
		}
		for i := range f.Graph.Initializers {
			tensor := &f.Graph.Initializers[i]
			if tensor.DType == String {
				continue
			}
			if _, _, err := tensor.Bytes(); err != nil {
				t.Errorf("%v", err)
			}
		}
		if err := f.Close(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}
