package wire

import (
	"bytes"
	"strings"
)

// sniff says what a file is that failed to parse, or "".
func sniff(data []byte) string {
	switch head := bytes.ToLower(bytes.TrimSpace(data[:min(len(data), 512)])); {
	case len(data) == 0:
		return "the file is empty"
	case bytes.HasPrefix(head, []byte("version https://git-lfs")):
		return "this is a Git LFS pointer, fetch the real file (git lfs pull)"
	case bytes.HasPrefix(head, []byte("<!doctype")), bytes.HasPrefix(head, []byte("<html")), bytes.HasPrefix(head, []byte("<?xml")):
		return "this is an HTML or XML page, not an ONNX model: download the raw file"
	case bytes.HasPrefix(head, []byte("ir_version:")), bytes.HasPrefix(head, []byte("graph {")), bytes.HasPrefix(head, []byte("producer_name:")):
		return "this is a model in the text form of protocol buffers: convert it to the binary form (onnx.load with format=\"textproto\", then onnx.save)"
	case bytes.HasPrefix(head, []byte("<\n")), bytes.HasPrefix(head, []byte("<ir_version")):
		return "this is a model in ONNX's text syntax: convert it to the binary form (onnx.parser, then onnx.save)"
	}
	for _, m := range magics {
		if len(data) >= m.offset && strings.HasPrefix(string(data[m.offset:min(len(data), m.offset+16)]), m.magic) {
			return m.sentence
		}
	}
	return ""
}

var magics = []struct {
	offset   int
	magic    string
	sentence string
}{
	{0, "PK\x03\x04", "this is a zip archive (a PyTorch .pt or Keras .keras file?), not an ONNX model: export the model to ONNX"},
	{0, "\x1f\x8b", "this is gzip-compressed: decompress it first"},
	{0, "\x89HDF", "this is an HDF5 file (a Keras .h5 model?), not an ONNX model: export the model to ONNX"},
	{0, "\x80\x02", "this is a Python pickle (a PyTorch file?), not an ONNX model: export the model to ONNX"},
	{0, "\x80\x04", "this is a Python pickle, not an ONNX model: export the model to ONNX"},
	{0, "\x80\x05", "this is a Python pickle, not an ONNX model: export the model to ONNX"},
	{4, "ORTM", "this is an ONNX Runtime .ort file: use the .onnx file that it was made from"},
	{4, "TFL3", "this is a TensorFlow Lite model: export the model to ONNX"},
}
