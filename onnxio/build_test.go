package onnxio_test

import (
	"encoding/binary"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// field appends one field of a message. The helpers below build models byte by
// byte, hostile ones included, without the code under test.
type field func(b []byte) []byte

func fields(f ...field) []byte {
	var b []byte
	for _, x := range f {
		b = x(b)
	}
	return b
}

func pbBytes(num protowire.Number, v []byte) field {
	return func(b []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
	}
}

func pbString(num protowire.Number, v string) field { return pbBytes(num, []byte(v)) }

func pbInt(num protowire.Number, v int64) field {
	return func(b []byte) []byte {
		return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), uint64(v))
	}
}

func pbFloat(num protowire.Number, v float32) field {
	return func(b []byte) []byte {
		return protowire.AppendFixed32(protowire.AppendTag(b, num, protowire.Fixed32Type), math.Float32bits(v))
	}
}

func pbMessage(num protowire.Number, f ...field) field { return pbBytes(num, fields(f...)) }

// pbModel is a model of an IR version and an opset around graph fields.
func pbModel(ir, opset int64, graph ...field) []byte {
	return fields(pbInt(1, ir), pbString(2, "test"), pbMessage(7, append([]field{pbString(2, "g")}, graph...)...),
		pbMessage(8, pbString(1, ""), pbInt(2, opset)))
}

// pbNode is a node of a graph; inputs and outputs are lists of names.
func pbNode(op, name string, in, out []string, attr ...field) field {
	return pbMessage(1, pbNodeFields(op, name, in, out, attr...)...)
}

func pbNodeFields(op, name string, in, out []string, attr ...field) []field {
	var f []field
	for _, s := range in {
		f = append(f, pbString(1, s))
	}
	for _, s := range out {
		f = append(f, pbString(2, s))
	}
	f = append(f, pbString(3, name), pbString(4, op))
	return append(f, attr...)
}

func attrOfInt(name string, v int64) field {
	return pbMessage(5, pbString(1, name), pbInt(3, v), pbInt(20, 2))
}

func attrOfInts(name string, v ...int64) field {
	f := []field{pbString(1, name)}
	for _, x := range v {
		f = append(f, pbInt(8, x))
	}
	return pbMessage(5, append(f, pbInt(20, 7))...)
}

func attrOfFloat(name string, v float32) field {
	return pbMessage(5, pbString(1, name), pbFloat(2, v), pbInt(20, 1))
}

func attrOfString(name, v string) field {
	return pbMessage(5, pbString(1, name), pbString(4, v), pbInt(20, 3))
}

func attrOfTensor(name string, tensor ...field) field {
	return pbMessage(5, pbString(1, name), pbMessage(5, tensor...), pbInt(20, 4))
}

func attrByReference(name, parameter string, typ int64) field {
	return pbMessage(5, pbString(1, name), pbInt(20, typ), pbString(21, parameter))
}

// tensorFields is a float32 tensor in raw form.
func tensorFields(name string, dims []int64, v ...float32) []field {
	raw := make([]byte, 0, 4*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(x))
	}
	return append(tensorHeader(name, 1, dims), pbBytes(9, raw))
}

func tensorHeader(name string, typ int64, dims []int64) []field {
	var f []field
	for _, d := range dims {
		f = append(f, pbInt(1, d))
	}
	return append(f, pbInt(2, typ), pbString(8, name))
}

func pbInitializer(name string, dims []int64, v ...float32) field {
	return pbMessage(5, tensorFields(name, dims, v...)...)
}

// pbIntegers is a vector of int64.
func pbIntegers(name string, v ...int64) field {
	f := tensorHeader(name, 7, []int64{int64(len(v))})
	for _, x := range v {
		f = append(f, pbInt(7, x))
	}
	return pbMessage(5, f...)
}

// pbValue is a value of a type and shape; a dimension of -1 is open.
func pbValue(num protowire.Number, name string, typ int64, dims ...int64) field {
	var shape []field
	for _, d := range dims {
		if d < 0 {
			shape = append(shape, pbMessage(1, pbString(2, "batch")))
		} else {
			shape = append(shape, pbMessage(1, pbInt(1, d)))
		}
	}
	return pbMessage(num, pbString(1, name), pbMessage(2, pbMessage(1, pbInt(1, typ), pbMessage(2, shape...))))
}

func pbInput(name string, dims ...int64) field  { return pbValue(11, name, 1, dims...) }
func pbOutput(name string, dims ...int64) field { return pbValue(12, name, 1, dims...) }

// pbFunction is a model-local function in a domain of its own, for the end of a
// model.
func pbFunction(name string, in, out, attributes []string, nodes ...[]field) []byte {
	f := []field{pbString(1, name)}
	for _, s := range in {
		f = append(f, pbString(4, s))
	}
	for _, s := range out {
		f = append(f, pbString(5, s))
	}
	for _, s := range attributes {
		f = append(f, pbString(6, s))
	}
	for _, n := range nodes {
		f = append(f, pbMessage(7, n...))
	}
	f = append(f, pbMessage(9, pbString(1, ""), pbInt(2, 17)), pbMessage(9, pbString(1, "local"), pbInt(2, 1)), pbString(10, "local"))
	return fields(pbMessage(25, f...))
}

// withML imports the operators of ai.onnx.ml.
func withML(model []byte) []byte {
	return append(model, fields(pbMessage(8, pbString(1, "ai.onnx.ml"), pbInt(2, 3)))...)
}

// withFunctions adds functions to a model.
func withFunctions(model []byte, functions ...[]byte) []byte {
	model = append(model, fields(pbMessage(8, pbString(1, "local"), pbInt(2, 1)))...)
	for _, f := range functions {
		model = append(model, f...)
	}
	return model
}

// ramp returns n numbers of either sign that are exact in float16.
func ramp(n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32((i*7)%11-5)/8 + 0.0625
	}
	return out
}

// eachField calls f for the content of each field of the given number.
func eachField(t interface{ Fatal(...any) }, message []byte, num protowire.Number, f func(content []byte)) {
	for len(message) > 0 {
		n, typ, tag := protowire.ConsumeTag(message)
		if tag < 0 {
			t.Fatal(protowire.ParseError(tag))
		}
		size := protowire.ConsumeFieldValue(n, typ, message[tag:])
		if size < 0 {
			t.Fatal(protowire.ParseError(size))
		}
		if n == num && typ == protowire.BytesType {
			content, _ := protowire.ConsumeBytes(message[tag:])
			f(content)
		}
		message = message[tag+size:]
	}
}
