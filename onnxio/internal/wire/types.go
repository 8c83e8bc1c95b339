package wire

import (
	"fmt"

	"github.com/relupath/relupath/internal/lists"
)

// DataType is the type of a tensor's elements, numbered as in ONNX.
type DataType int32

// The element types of ONNX.
const (
	Undefined DataType = iota
	Float32
	Uint8
	Int8
	Uint16
	Int16
	Int32
	Int64
	String
	Bool
	Float16
	Float64
	Uint32
	Uint64
	Complex64
	Complex128
	BFloat16
	Float8E4M3FN
	Float8E4M3FNUZ
	Float8E5M2
	Float8E5M2FNUZ
	Uint4
	Int4
	Float4E2M1
	Float8E8M0
	Uint2
	Int2
)

var dataTypes = [...]struct {
	name string
	bits int
}{
	{"undefined", 0},
	{"float32", 32},
	{"uint8", 8},
	{"int8", 8},
	{"uint16", 16},
	{"int16", 16},
	{"int32", 32},
	{"int64", 64},
	{"string", 0},
	{"bool", 8},
	{"float16", 16},
	{"float64", 64},
	{"uint32", 32},
	{"uint64", 64},
	{"complex64", 64},
	{"complex128", 128},
	{"bfloat16", 16},
	{"float8e4m3fn", 8},
	{"float8e4m3fnuz", 8},
	{"float8e5m2", 8},
	{"float8e5m2fnuz", 8},
	{"uint4", 4},
	{"int4", 4},
	{"float4e2m1", 4},
	{"float8e8m0", 8},
	{"uint2", 2},
	{"int2", 2},
}

// String returns the usual name, such as float32.
func (t DataType) String() string {
	if t >= 0 && int(t) < len(dataTypes) {
		return dataTypes[t].name
	}
	return fmt.Sprintf("type %d", int32(t))
}

// Bits returns the size of one element in raw form, 0 when it has none.
func (t DataType) Bits() int {
	if t >= 0 && int(t) < len(dataTypes) {
		return dataTypes[t].bits
	}
	return 0
}

// Model is what a file says beside its graph.
type Model struct {
	IRVersion       int64
	ProducerName    string
	ProducerVersion string
	Domain          string
	ModelVersion    int64
	DocString       string
	OpsetImports    []Opset
	Metadata        []Entry
	Functions       []Function
}

// Opset is one operator set that a model imports.
type Opset struct {
	Domain  string
	Version int64
}

// Entry is a pair of strings.
type Entry struct{ Key, Value string }

// Opset returns the version imported for a domain; "" and "ai.onnx" are the
// same domain. Without an import that domain has version 1, the others 0.
func (m *Model) Opset(domain string) int64 {
	domain = Domain(domain)
	version := int64(0)
	if domain == "" {
		version = 1
	}
	for _, o := range m.OpsetImports {
		if Domain(o.Domain) == domain {
			version = o.Version
		}
	}
	return version
}

// Domain maps both names of the standard domain to one.
func Domain(d string) string {
	if d == "ai.onnx" {
		return ""
	}
	return d
}

// Graph is the main graph of a model, in file order.
type Graph struct {
	Name         string
	DocString    string
	Nodes        []Node
	Initializers []Tensor
	// SparseInitializers are noted; their values are not decoded.
	SparseInitializers []SparseTensor
	Inputs             []ValueInfo
	Outputs            []ValueInfo
	ValueInfo          []ValueInfo

	span span
}

// Node is one operator call.
type Node struct {
	Name       string
	OpType     string
	Domain     string
	Overload   string
	Inputs     []string
	Outputs    []string
	Attributes []Attribute

	span span
}

// Attribute returns the attribute of the given name, or nil.
func (n *Node) Attribute(name string) *Attribute {
	for i := range n.Attributes {
		if n.Attributes[i].Name == name {
			return &n.Attributes[i]
		}
	}
	return nil
}

// AttributeType says which field of an attribute holds its value, numbered as
// in ONNX.
type AttributeType int32

// The attribute types of ONNX.
const (
	AttrUndefined AttributeType = iota
	AttrFloat
	AttrInt
	AttrString
	AttrTensor
	AttrGraph
	AttrFloats
	AttrInts
	AttrStrings
	AttrTensors
	AttrGraphs
	AttrSparseTensor
	AttrSparseTensors
	AttrTypeProto
	AttrTypeProtos
)

var attributeTypes = [...]string{
	"undefined", "float", "int", "string", "tensor", "graph", "floats", "ints", "strings", "tensors", "graphs",
	"sparse_tensor", "sparse_tensors", "type_proto", "type_protos",
}

// String returns the type's name in small letters.
func (t AttributeType) String() string {
	if t >= 0 && int(t) < len(attributeTypes) {
		return attributeTypes[t]
	}
	return fmt.Sprintf("type %d", int32(t))
}

// Attribute is one attribute of a node.
type Attribute struct {
	Name string
	// Type is the declared type; in a file that declares none it is the type of
	// the field that holds a value, and Undeclared is set.
	Type       AttributeType
	Undeclared bool
	F          float32
	I          int64
	S          []byte
	T          *Tensor
	Floats     []float32
	Ints       []int64
	Strings    [][]byte
	// RefAttrName names the parameter that the value comes from, inside a
	// function.
	RefAttrName string
	// Graphs counts subgraphs, Nodes are theirs. Captures lists the names that they
	// use and do not define, each once; it is nil within a subgraph.
	Graphs   int
	Nodes    []Node
	Captures []string

	span   span
	graphs []span
}

// Texts returns Strings as such.
func (a *Attribute) Texts() []string {
	return lists.Map(a.Strings, func(s []byte) string { return string(s) })
}

// ValueInfo names a value and may give its type.
type ValueInfo struct {
	Name string
	// Tensor says that the type is a dense tensor's; ElemType, HasShape and
	// Dims then describe it. Kind names any other type: sequence, map,
	// optional, sparse tensor, opaque; empty without a type.
	Tensor   bool
	Kind     string
	ElemType DataType
	// HasShape says that a shape is given; without one the rank is unknown.
	HasShape bool
	Dims     []Dim
}

// Dim is one dimension of a shape.
type Dim struct {
	// Known says that Value is given.
	Known bool
	Value int64
	// Param is the name of a symbolic dimension.
	Param string
}

// SparseTensor is an initializer in coordinate form.
type SparseTensor struct {
	Values, Indices Tensor
	Dims            []int64
}

// Function is a model-local function.
type Function struct {
	Domain, Name, Overload string
	Inputs, Outputs        []string
	// AttributeNames are parameters without a default, Attributes those with
	// one.
	AttributeNames []string
	Attributes     []Attribute
	Nodes          []Node
	OpsetImports   []Opset
}
