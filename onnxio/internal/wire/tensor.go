package wire

import (
	"fmt"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// Encoding says how a tensor stores its elements.
type Encoding uint8

// The encodings of tensor payloads.
const (
	// NoData is a tensor without elements in it.
	NoData Encoding = iota
	// Raw is raw_data: fixed width, little endian, row-major.
	Raw
	// FloatData, Int32Data, StringData, Int64Data, DoubleData and Uint64Data
	// are the typed fields; narrower types share Int32Data.
	FloatData
	Int32Data
	StringData
	Int64Data
	DoubleData
	Uint64Data
	// External is raw data in another file.
	External
)

var encodings = [...]string{
	"no data", "raw_data", "float_data", "int32_data", "string_data",
	"int64_data", "double_data", "uint64_data", "external data",
}

// String returns the field's name.
func (e Encoding) String() string { return encodings[e] }

// typedFields describes the repeated fields that hold elements.
var typedFields = map[protowire.Number]struct {
	enc  Encoding
	wire protowire.Type
}{
	4:  {FloatData, protowire.Fixed32Type},
	5:  {Int32Data, protowire.VarintType},
	6:  {StringData, protowire.BytesType},
	7:  {Int64Data, protowire.VarintType},
	10: {DoubleData, protowire.Fixed64Type},
	11: {Uint64Data, protowire.VarintType},
}

// Tensor is one stored tensor. Its elements are read on demand; what cannot be
// read is an error of this tensor alone.
type Tensor struct {
	Name     string
	Dims     []int64
	DType    DataType
	Encoding Encoding
	// External says where the elements of an External tensor lie.
	External *Location

	file *File
	span span
	// raw is the content of raw_data, or of the only field of packed fixed-width
	// elements.
	raw span
	// count and chunks count the elements of a typed field and the fields that
	// they are spread over.
	count, chunks int
	// problem says why the elements cannot be read.
	problem string
	// payload makes the elements of a tensor that is not in a file.
	payload Payload
}

// Location is a range of an external data file.
type Location struct {
	// Path is relative to the folder of the model file, with slashes.
	Path string
	// Offset and Length are in bytes; Length is -1 when it is not given.
	Offset, Length int64
}

// tensor reads a TensorProto.
func (s *scanner) tensor(t *Tensor) {
	t.file = s.file
	t.span = s.self
	raws := 0
	for s.next() {
		switch s.num {
		case 1:
			s.charge(8)
			s.numbers(protowire.VarintType, func(v uint64) { t.Dims = append(t.Dims, int64(v)) })
		case 2:
			t.DType = DataType(s.int64())
		case 3:
			t.problem = "it is stored in segments, which is not supported"
		case 4, 5, 6, 7, 10, 11:
			s.typed(t)
		case 8:
			t.Name = s.name()
		case 9:
			if len(s.bytes()) > 0 || t.Encoding == NoData {
				t.store(Raw)
				t.raw = s.value
				raws++
			}
		case 13:
			s.location(t)
		case 14:
			switch v := s.int64(); v {
			case 0:
			case 1:
				t.Encoding = External
			default:
				t.problem = fmt.Sprintf("data_location %d is not known", v)
			}
		}
	}
	if t.External != nil && t.Encoding != External {
		t.External = nil
	}
	if t.External == nil && t.Encoding == External {
		t.problem = "its data is external and no location is given"
	}
}

// store notes that elements of an encoding were found.
func (t *Tensor) store(e Encoding) {
	switch t.Encoding {
	case NoData, e:
		t.Encoding = e
	case External:
	default:
		if t.Encoding == Raw && t.raw.len() == 0 {
			t.Encoding = e
			return
		}
		t.problem = fmt.Sprintf("elements are stored twice, as %v and as %v", t.Encoding, e)
	}
}

// typed notes one field of typed elements.
func (s *scanner) typed(t *Tensor) {
	f := typedFields[s.num]
	n := 1
	switch {
	case f.enc == StringData:
		s.expect(protowire.BytesType)
	case s.typ == f.wire:
	case s.typ == protowire.BytesType:
		n = s.packedCount(f.wire)
	default:
		s.expect(f.wire)
	}
	if n == 0 || s.err != nil {
		return
	}
	t.store(f.enc)
	t.count += n
	t.chunks++
	t.raw = span{}
	if t.chunks == 1 && s.typ == protowire.BytesType && f.wire != protowire.VarintType {
		t.raw = s.value
	}
}

// packedCount returns the number of elements in a packed field.
func (s *scanner) packedCount(t protowire.Type) int {
	b := s.bytes()
	width := 0
	switch t {
	case protowire.Fixed32Type:
		width = 4
	case protowire.Fixed64Type:
		width = 8
	default:
		n := 0
		for _, c := range b {
			if c < 0x80 {
				n++
			}
		}
		if len(b) > 0 && b[len(b)-1] >= 0x80 {
			s.fail("field %d: packed values end in the middle of one", s.num)
		}
		return n
	}
	if len(b)%width != 0 {
		s.fail("field %d: %d packed bytes are not a multiple of %d", s.num, len(b), width)
	}
	return len(b) / width
}

// location reads one entry of external_data.
func (s *scanner) location(t *Tensor) {
	if t.External == nil {
		s.charge(128)
		t.External = &Location{Length: -1}
	}
	entries := s.appendEntry(nil, "external_data")
	if s.err != nil {
		return
	}
	number := func(v string) int64 {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n < 0 {
			t.problem = fmt.Sprintf("external data %s %q is not a size", entries[0].Key, v)
		}
		return n
	}
	switch e := entries[0]; e.Key {
	case "location":
		t.External.Path = e.Value
	case "offset":
		t.External.Offset = number(e.Value)
	case "length":
		t.External.Length = number(e.Value)
	}
}

func float32bits(v uint64) float32 { return math.Float32frombits(uint32(v)) }

// fail returns an error of this tensor.
func (t *Tensor) fail(format string, args ...any) error {
	e := &Error{Path: fmt.Sprintf("tensor %q", t.Name), Offset: -1, Msg: fmt.Sprintf(format, args...)}
	if t.file != nil {
		e.File = t.file.name
		if t.span.start > 0 {
			e.Offset = int64(t.span.start)
		}
	}
	return e
}

// Strings returns the elements of a tensor of strings.
func (t *Tensor) Strings() ([]string, error) {
	n, err := t.Elems()
	switch {
	case err != nil:
		return nil, err
	case t.problem != "":
		return nil, t.fail("%s", t.problem)
	case t.DType != String || t.file == nil || t.count != n:
		return nil, t.fail("%d strings, dims %v of %v want %d", t.count, t.Dims, t.DType, n)
	}
	out := make([]string, 0, n)
	s := newParser(t.file, t.file.data).scan(t.span)
	for s.next() {
		if s.num == 6 {
			out = append(out, s.string())
		}
	}
	if s.err != nil {
		return nil, s.err
	}
	return out, nil
}

// Elems returns the product of the dims: 1 for a scalar. Negative dims and a
// product beyond the range of an int are errors.
func (t *Tensor) Elems() (int, error) {
	n, empty := 1, false
	for _, d := range t.Dims {
		switch {
		case d < 0:
			return 0, t.fail("dims %v has a negative dimension", t.Dims)
		case d == 0:
			empty = true
		case d > int64(math.MaxInt)/int64(n):
			return 0, t.fail("dims %v have too many elements", t.Dims)
		default:
			n *= int(d)
		}
	}
	if empty {
		return 0, nil
	}
	return n, nil
}

// size returns the size of the raw form in bytes.
func (t *Tensor) size() (int, error) {
	n, err := t.Elems()
	if err != nil {
		return 0, err
	}
	bits := t.DType.Bits()
	if bits == 0 {
		return 0, t.fail("elements of type %v have no raw form", t.DType)
	}
	if n > math.MaxInt/bits-7 {
		return 0, t.fail("dims %v have too many elements", t.Dims)
	}
	return (n*bits + 7) / 8, nil
}
