package wire

import (
	"bytes"
	"encoding/binary"
	"strings"
	"unicode"

	"google.golang.org/protobuf/encoding/protowire"
)

// What helps, as a line to be typed.
const (
	fromTorch  = "export it with torch.onnx.export(model, (example_input,), \"model.onnx\", dynamo=True)"
	fromKeras  = "export it with keras.saving.load_model(FILE).export(\"model.onnx\", format=\"onnx\")"
	fromLite   = "convert it with python -m tf2onnx.convert --tflite FILE --output model.onnx"
	fromPickle = "load it and export it, with torch.onnx.export(model, (example_input,), \"model.onnx\", dynamo=True) or onnx.save(skl2onnx.to_onnx(model, X[:1]), \"model.onnx\")"
	fromGraph  = "convert it with python -m tf2onnx.convert --saved-model FOLDER --output model.onnx (--graphdef FILE of a frozen graph)"
	fromStore  = "it has weights and no graph: load them into their module, then torch.onnx.export(model, (example_input,), \"model.onnx\", dynamo=True)"
)

const picture = "this is a picture, not an ONNX model"

// sniff says what a file is that failed to parse, or "".
func sniff(data []byte) string {
	switch head := bytes.ToLower(bytes.TrimSpace(bytes.TrimPrefix(data[:min(len(data), 512)], []byte("\ufeff")))); {
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
	if bytes.HasPrefix(data, []byte("PK\x03\x04")) {
		return archive(data)
	}
	for _, m := range magics {
		if len(data) >= m.offset && strings.HasPrefix(string(data[m.offset:min(len(data), m.offset+16)]), m.magic) {
			return m.sentence
		}
	}
	if tensorFlow(data) {
		return "this is a TensorFlow graph: " + fromGraph
	}
	if len(data) > 9 && data[8] == '{' && binary.LittleEndian.Uint64(data) < uint64(len(data)) {
		return "this is a safetensors file: " + fromStore
	}
	if words(data) {
		return "this is text, not an ONNX model; tables of data are given with --data csv:FILE"
	}
	return ""
}

// archive tells the kinds of zip archives by the name of the first file.
func archive(data []byte) string {
	const nameAt, lengthAt = 30, 26
	name := ""
	if len(data) > nameAt {
		n := int(binary.LittleEndian.Uint16(data[lengthAt:]))
		name = string(data[nameAt:min(nameAt+n, len(data))])
	}
	switch {
	case strings.HasSuffix(name, ".npy"):
		return "this is an archive of NumPy arrays, not an ONNX model; arrays are given with --data npz:FILE"
	case strings.Contains(name, "data.pkl"), strings.HasSuffix(name, "/version"), strings.HasSuffix(name, "/byteorder"),
		strings.Contains(name, "/data/"), strings.Contains(name, "/code/"):
		return "this is a PyTorch file: " + fromTorch
	case name == "metadata.json", name == "config.json", strings.HasSuffix(name, ".weights.h5"):
		return "this is a Keras file: " + fromKeras
	}
	return "this is a zip archive, not an ONNX model: unpack it; of a PyTorch or Keras file, export the model to ONNX"
}

// tensorFlow reports whether a file begins as a SavedModel, a version and a graph that begins with
// what it is, or as a frozen graph, a node with a name and an operator.
func tensorFlow(data []byte) bool {
	if graph, saved := bytes.CutPrefix(data, []byte("\x08\x01\x12")); saved {
		_, n := protowire.ConsumeVarint(graph)
		return n > 0 && bytes.HasPrefix(graph[n:], []byte("\x0a"))
	}
	const name, op = "\x0a", "\x12" // the first two fields
	if !bytes.HasPrefix(data, []byte(name)) {
		return false
	}
	node, n := protowire.ConsumeBytes(data[1:])
	if n < 0 || !bytes.HasPrefix(node, []byte(name)) {
		return false
	}
	_, n = protowire.ConsumeBytes(node[1:])
	return n > 0 && bytes.HasPrefix(node[1+n:], []byte(op))
}

// words reports whether a file begins with text: as UTF-16 with its mark, or in bytes without
// control characters, as UTF-8 and Latin-1 are. Models have some in their first bytes.
func words(data []byte) bool {
	head := data[:min(len(data), 512)]
	if bytes.HasPrefix(head, []byte("\xff\xfe")) || bytes.HasPrefix(head, []byte("\xfe\xff")) {
		return true
	}
	return !bytes.ContainsFunc(head, func(r rune) bool { return unicode.IsControl(r) && !unicode.IsSpace(r) })
}

var magics = []struct {
	offset   int
	magic    string
	sentence string
}{
	{0, "\x1f\x8b", "this is gzip-compressed: decompress it first"},
	{0, "\x89HDF", "this is an HDF5 file; of a Keras model, " + fromKeras},
	{0, "\x80\x02", "this is a Python pickle (a PyTorch file?): " + fromPickle},
	{0, "\x80\x03", "this is a Python pickle: " + fromPickle},
	{0, "\x80\x04", "this is a Python pickle: " + fromPickle},
	{0, "\x80\x05", "this is a Python pickle: " + fromPickle},
	{0, "\x93NUMPY", "this is a NumPy array, not an ONNX model; arrays are given with --data npy:X,Y or --input"},
	{0, "GGUF", "this is a GGUF file of llama.cpp: " + fromStore},
	{4, "ORTM", "this is an ONNX Runtime .ort file: use the .onnx file that it was made from"},
	{0, "\x89PNG", picture},
	{0, "\xff\xd8\xff", picture},
	{0, "GIF8", picture},
	{0, "%PDF-", "this is a PDF file, not an ONNX model"},
	{0, "PAR1", "this is a Parquet file, not an ONNX model; for --data, write a table of data with df.to_csv(\"data.csv\", index=False)"},
	{4, "TFL3", "this is a TensorFlow Lite model: " + fromLite},
}
