package wire

import (
	"errors"
	"fmt"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// span is a length-delimited value in the file: its length prefix at
// [prefix, start), its content at [start, end).
type span struct{ prefix, start, end int }

func (s span) len() int { return s.end - s.start }

// The index of a file may take memoryBase bytes and memoryPerByte more for each
// byte of the file. Models without payloads, the densest files, need below 20.
const (
	memoryBase    = 1 << 20
	memoryPerByte = 64
)

// parser holds what the scanners of one file share.
type parser struct {
	file *File
	data []byte
	// left is what the index may still allocate, in bytes.
	left int64
	// used collects the names that the innermost subgraph uses, nil outside of
	// subgraphs; depth counts these.
	used  *subgraphs
	depth int
}

func newParser(f *File, data []byte) *parser {
	return &parser{file: f, data: data, left: memoryBase + memoryPerByte*int64(len(data))}
}

// scanner walks the fields of one message. The first error sticks and ends the
// walk; the accessors then return zero values.
type scanner struct {
	*parser
	// self is the message.
	self     span
	pos, end int
	err      *Error

	// The current field: its number and wire type, where its tag begins, and
	// its value, for a length-delimited one the content with its prefix.
	num   protowire.Number
	typ   protowire.Type
	tag   int
	value span
	bits  uint64
}

func (p *parser) scan(s span) *scanner { return &scanner{parser: p, self: s, pos: s.start, end: s.end} }

func (s *scanner) fail(format string, args ...any) {
	if s.err == nil {
		s.err = &Error{File: s.file.name, Offset: int64(s.tag), Msg: fmt.Sprintf(format, args...)}
	}
}

// next advances to the next field; false at the end or after an error.
func (s *scanner) next() bool {
	if s.err != nil || s.pos >= s.end {
		return false
	}
	b := s.data[s.pos:s.end]
	s.tag = s.pos
	num, typ, n := protowire.ConsumeTag(b)
	if n < 0 {
		s.fail("no field begins here: %s", reason(n))
		return false
	}
	s.num, s.typ = num, typ
	s.value = span{s.pos + n, s.pos + n, s.pos + n}
	b = b[n:]
	switch typ {
	case protowire.VarintType:
		s.bits, n = protowire.ConsumeVarint(b)
	case protowire.Fixed32Type:
		var v uint32
		v, n = protowire.ConsumeFixed32(b)
		s.bits = uint64(v)
	case protowire.Fixed64Type:
		s.bits, n = protowire.ConsumeFixed64(b)
	case protowire.BytesType:
		var size uint64
		size, n = protowire.ConsumeVarint(b)
		if n >= 0 && size > uint64(len(b)-n) {
			s.fail("field %d claims %d bytes, %d are left: the file is truncated or no ONNX model", num, size, len(b)-n)
			return false
		}
		if n >= 0 {
			s.value.start += n
			n += int(size)
		}
	case protowire.StartGroupType, protowire.EndGroupType:
		s.fail("field %d is a group: ONNX has none", num)
		return false
	default:
		s.fail("field %d has the unknown wire type %d", num, typ)
		return false
	}
	if n < 0 {
		s.fail("field %d: %s", num, reason(n))
		return false
	}
	s.value.end = s.value.prefix + n
	s.pos = s.value.end
	return true
}

// reason words a failure code of protowire.
func reason(code int) string {
	if errors.Is(protowire.ParseError(code), io.ErrUnexpectedEOF) {
		return "the file is truncated"
	}
	return protowire.ParseError(code).Error()
}

var wireTypes = map[protowire.Type]string{
	protowire.VarintType: "varint", protowire.Fixed32Type: "32-bit",
	protowire.Fixed64Type: "64-bit", protowire.BytesType: "length-delimited",
}

// expect fails unless the current field has the wire type.
func (s *scanner) expect(t protowire.Type) bool {
	if s.err == nil && s.typ != t {
		s.fail("field %d is %s, want %s", s.num, wireTypes[s.typ], wireTypes[t])
	}
	return s.err == nil
}

func (s *scanner) int64() int64 {
	if !s.expect(protowire.VarintType) {
		return 0
	}
	return int64(s.bits)
}

func (s *scanner) float32() float32 {
	if !s.expect(protowire.Fixed32Type) {
		return 0
	}
	return math.Float32frombits(uint32(s.bits))
}

// bytes returns the content of a length-delimited field as part of the file.
func (s *scanner) bytes() []byte {
	if !s.expect(protowire.BytesType) {
		return nil
	}
	return s.data[s.value.start:s.value.end:s.value.end]
}

// string returns a copy of a length-delimited field.
func (s *scanner) string() string {
	b := s.bytes()
	if !s.charge(len(b)) {
		return ""
	}
	return string(b)
}

// longestName bounds names in bytes: each is repeated wherever its node or value is spoken of.
const longestName = 1 << 16

// name returns a copy of a field that names a node, a value, an operator or the like.
func (s *scanner) name() string {
	if n := len(s.bytes()); n > longestName {
		s.fail("a name of %d bytes: names have at most %d", n, longestName)
		return ""
	}
	return s.string()
}

// charge takes n bytes from the file's memory budget.
func (s *scanner) charge(n int) bool {
	s.left -= int64(n)
	if s.left < 0 {
		s.fail("the message is made of too many small parts for a model")
	}
	return s.err == nil
}

// appendName appends the field to a list of names.
func (s *scanner) appendName(to []string) []string {
	s.charge(16)
	return append(to, s.name())
}

// message parses a length-delimited field; name and index say where it is.
func (s *scanner) message(name string, index int, parse func(*scanner)) {
	if !s.expect(protowire.BytesType) {
		return
	}
	sub := s.scan(s.value)
	sub.tag = s.value.start
	parse(sub)
	if sub.err != nil {
		s.err = sub.err.within(name, index)
	}
}

// once fails when a singular message occurs a second time, where protocol
// buffers would merge the two.
func (s *scanner) once(seen *bool, name string) bool {
	if *seen {
		s.fail("a second %s: merged messages are not supported, write the model again with its exporter", name)
	}
	*seen = true
	return s.err == nil
}

// numbers visits the values of a repeated scalar field, packed or not. want is
// the wire type of one value.
func (s *scanner) numbers(want protowire.Type, visit func(bits uint64)) {
	if s.typ != protowire.BytesType {
		if s.expect(want) {
			visit(s.bits)
		}
		return
	}
	b := s.bytes()
	for len(b) > 0 {
		v, n := number(want, b)
		if n < 0 {
			s.fail("field %d: packed values end in the middle of one", s.num)
			return
		}
		visit(v)
		b = b[n:]
	}
}

// number reads one scalar of the given wire type.
func number(t protowire.Type, b []byte) (uint64, int) {
	switch t {
	case protowire.Fixed32Type:
		v, n := protowire.ConsumeFixed32(b)
		return uint64(v), n
	case protowire.Fixed64Type:
		return protowire.ConsumeFixed64(b)
	default:
		return protowire.ConsumeVarint(b)
	}
}
