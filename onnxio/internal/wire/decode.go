package wire

import (
	"bytes"
	"encoding/binary"
	"math"
	"runtime"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
)

// Bytes returns the elements in raw form (fixed width, little endian,
// row-major), however they are stored. shared says that the bytes are those of
// the file, which must not be written to: that is so for raw and external data
// and for packed float_data and double_data. An error names the tensor when
// the payload does not fit the dims.
func (t *Tensor) Bytes() (raw []byte, shared bool, err error) {
	size, err := t.check()
	switch {
	case err != nil:
		return nil, false, err
	case t.payload != nil:
		return t.produced(size)
	case t.Encoding == External:
		raw, err = t.externalBytes(size)
		return raw, true, err
	case size == 0:
		return nil, false, nil
	case t.raw.len() > 0:
		return t.file.data[t.raw.start:t.raw.end:t.raw.end], true, nil
	}
	raw, err = t.gather(size)
	return raw, false, err
}

// check compares what is stored with the dims, without reading it, and returns
// the size of the raw form.
func (t *Tensor) check() (int, error) {
	if t.problem != "" {
		return 0, t.fail("%s", t.problem)
	}
	size, err := t.size()
	switch {
	case err != nil:
		return 0, err
	case t.payload != nil, t.Encoding == External:
		return size, nil
	case t.Encoding == Raw:
		return size, t.wantBytes(t.raw.len(), size)
	case t.Encoding == NoData:
		return size, t.wantBytes(0, size)
	}
	width, ok := typedWidth(t.Encoding, t.DType)
	if !ok {
		return 0, t.fail("elements of type %v in %v are not supported", t.DType, t.Encoding)
	}
	return size, t.wantBytes(t.count*width, size)
}

func (t *Tensor) wantBytes(got, want int) error {
	if got != want {
		return t.fail("%v holds %d bytes, dims %v of %v want %d", t.Encoding, got, t.Dims, t.DType, want)
	}
	return nil
}

// produced runs the payload of a tensor that is not in a file.
func (t *Tensor) produced(size int) ([]byte, bool, error) {
	var b bytes.Buffer
	b.Grow(size)
	if err := produce(&b, 0, t.payload, int64(size)); err != nil {
		return nil, false, t.fail("%v", err)
	}
	return b.Bytes(), false, nil
}

// typedWidth returns the bytes of raw form that one value of a typed field
// stands for.
func typedWidth(e Encoding, d DataType) (int, bool) {
	switch e {
	case FloatData:
		return 4, d == Float32 || d == Complex64
	case DoubleData:
		return 8, d == Float64 || d == Complex128
	case Int64Data:
		return 8, d == Int64
	case Uint64Data:
		return d.Bits() / 8, d == Uint64 || d == Uint32
	case Int32Data:
		switch d {
		case Int32, Int16, Int8, Uint16, Uint8, Bool, Float16, BFloat16,
			Float8E4M3FN, Float8E4M3FNUZ, Float8E5M2, Float8E5M2FNUZ, Float8E8M0:
			return d.Bits() / 8, true
		case Int4, Uint4: // two in each entry
			return 1, true
		}
	}
	return 0, false
}

// gather collects typed elements that are not one packed field of fixed width.
func (t *Tensor) gather(size int) ([]byte, error) {
	width, _ := typedWidth(t.Encoding, t.DType)
	out := make([]byte, 0, size)
	outside := false
	s := newParser(t.file, t.file.data).scan(t.span)
	for s.next() {
		f := typedFields[s.num]
		if f.enc != t.Encoding {
			continue
		}
		s.numbers(f.wire, func(v uint64) {
			if f.enc == Int32Data {
				// An int32 field is read modulo 2^32; some writers leave the sign
				// extension of negative values out.
				v = uint64(int64(int32(v)))
			}
			outside = outside || f.wire == protowire.VarintType && !fits(int64(v), t.DType)
			out = binary.LittleEndian.AppendUint64(out, v)[:len(out)+width]
		})
	}
	if s.err != nil {
		return nil, s.err
	}
	if outside {
		return nil, t.fail("%v holds a value outside the range of %v", t.Encoding, t.DType)
	}
	return out, nil
}

// fits says whether a varint holds a value of the type.
func fits(v int64, d DataType) bool {
	bits := d.Bits()
	if bits == 64 {
		return true
	}
	switch d {
	case Int4, Uint4: // two of them
		return v >= 0 && v < 256
	case Int32, Int16, Int8:
		return v >= -1<<(bits-1) && v < 1<<(bits-1)
	default:
		return v >= 0 && v < 1<<bits
	}
}

// Float32s returns the elements of a float32 tensor. shared says that the
// slice is part of the file, which must not be written to: that is so for data
// in one piece on little-endian machines, where its place in memory is a
// multiple of 4 or the machine reads numbers anywhere. Otherwise the elements
// are copied.
func (t *Tensor) Float32s() (v []float32, shared bool, err error) {
	return elements[float32](t, Float32)
}

// Float64s returns the elements of a float64 tensor, as [Tensor.Float32s]
// does.
func (t *Tensor) Float64s() (v []float64, shared bool, err error) {
	return elements[float64](t, Float64)
}

// Halves returns the bits of the elements of a float16 or bfloat16 tensor. The
// slice must not be written to.
func (t *Tensor) Halves() ([]uint16, error) {
	v, _, err := elements[uint16](t, Float16, BFloat16)
	return v, err
}

func elements[T float32 | float64 | uint16](t *Tensor, types ...DataType) ([]T, bool, error) {
	known := false
	for _, d := range types {
		known = known || t.DType == d
	}
	if !known {
		return nil, false, t.fail("elements are %v, want %v", t.DType, types[0])
	}
	b, shared, err := t.Bytes()
	if err != nil {
		return nil, false, err
	}
	v, viewed := view[T](b)
	return v, shared && viewed, nil
}

// littleEndian says that numbers in memory are laid out as in a file.
var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// unaligned says that the machine loads numbers from any address: files put
// their tensors anywhere, and a copy of the weights would cost as much as they
// do. Slices of numbers hold no pointers, so that only the loads care.
const unaligned = runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64"

// view reads bytes as numbers, in place when the machine's byte order and the
// alignment allow it.
func view[T float32 | float64 | uint16](b []byte) (v []T, viewed bool) {
	var zero T
	width := int(unsafe.Sizeof(zero))
	n := len(b) / width
	if n == 0 {
		return []T{}, false
	}
	start := unsafe.Pointer(unsafe.SliceData(b))
	if littleEndian && (unaligned || uintptr(start)%uintptr(width) == 0) {
		return unsafe.Slice((*T)(start), n), true
	}
	v = make([]T, n)
	if littleEndian {
		copy(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), n*width), b)
		return v, false
	}
	// The sizes match, so that this cannot fail.
	_, _ = binary.Decode(b, binary.LittleEndian, v)
	return v, false
}

// Int64s returns the elements of an integer or bool tensor, copied. A uint64
// beyond the range of int64 is an error.
func (t *Tensor) Int64s() ([]int64, error) {
	var read func(b []byte) int64
	switch le := binary.LittleEndian; t.DType {
	case Int64, Uint64:
		read = func(b []byte) int64 { return int64(le.Uint64(b)) }
	case Int32:
		read = func(b []byte) int64 { return int64(int32(le.Uint32(b))) }
	case Uint32:
		read = func(b []byte) int64 { return int64(le.Uint32(b)) }
	case Int16:
		read = func(b []byte) int64 { return int64(int16(le.Uint16(b))) }
	case Uint16:
		read = func(b []byte) int64 { return int64(le.Uint16(b)) }
	case Int8:
		read = func(b []byte) int64 { return int64(int8(b[0])) }
	case Uint8, Bool:
		read = func(b []byte) int64 { return int64(b[0]) }
	case Int4, Uint4: // see nibbles
	default:
		return nil, t.fail("elements are %v, want integers", t.DType)
	}
	b, _, err := t.Bytes()
	if err != nil {
		return nil, err
	}
	if t.DType.Bits() == 4 {
		return t.nibbles(b)
	}
	width := t.DType.Bits() / 8
	v := make([]int64, len(b)/width)
	for i := range v {
		v[i] = read(b[i*width:])
		if t.DType == Uint64 && v[i] < 0 {
			return nil, t.fail("element %d is beyond %d", i, int64(math.MaxInt64))
		}
	}
	return v, nil
}

// nibbles unpacks integers of 4 bits, the first of a byte in its lower half.
func (t *Tensor) nibbles(b []byte) ([]int64, error) {
	n, err := t.Elems()
	if err != nil {
		return nil, err
	}
	v := make([]int64, n)
	for i := range v {
		x := b[i/2] >> (i % 2 * 4) & 15
		if v[i] = int64(x); t.DType == Int4 {
			v[i] = int64(int8(x<<4) >> 4)
		}
	}
	return v, nil
}
