package topology

import "github.com/relupath/relupath/onnxio/internal/wire"

// feed compares nothing in a browser, where onnx-go would be half of what is loaded: the
// wiring is that of the index of the file, which onnx-go only confirms.
func feed(*wire.File) error { return nil }
