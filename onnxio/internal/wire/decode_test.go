package wire

import (
	"bytes"
	"math"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"
)

// parseOne parses a model whose only initializer has the given fields.
func parseOne(t testing.TB, fields []byte) *Tensor {
	t.Helper()
	return &mustParse(t, modelOf(bytesField(5, fields))).Graph.Initializers[0]
}

func TestFloats(t *testing.T) {
	v32, v64 := []float32{1.5, -2, float32(math.Inf(1))}, []float64{1.5, -2, math.Pi}
	dims := []int64{3}
	for name, c := range map[string]struct {
		fields []byte
		enc    Encoding
		want   any
	}{
		"raw":             {tensorOf(Float32, dims, bytesField(9, le(v32))), Raw, v32},
		"last raw wins":   {tensorOf(Float32, dims, bytesField(9, le(v32[:1])), bytesField(9, le(v32))), Raw, v32},
		"packed":          {tensorOf(Float32, dims, bytesField(4, le(v32))), FloatData, v32},
		"two packed":      {tensorOf(Float32, dims, bytesField(4, le(v32[:1])), bytesField(4, le(v32[1:]))), FloatData, v32},
		"unpacked":        {tensorOf(Float32, dims, fixed32Field(4, v32[0]), fixed32Field(4, v32[1]), fixed32Field(4, v32[2])), FloatData, v32},
		"mixed":           {tensorOf(Float32, dims, bytesField(4, le(v32[:2])), fixed32Field(4, v32[2])), FloatData, v32},
		"empty raw first": {tensorOf(Float32, dims, bytesField(9), bytesField(4, le(v32))), FloatData, v32},
		"empty raw last":  {tensorOf(Float32, dims, bytesField(4, le(v32)), bytesField(9)), FloatData, v32},
		"raw 64":          {tensorOf(Float64, dims, bytesField(9, le(v64))), Raw, v64},
		"packed 64":       {tensorOf(Float64, dims, bytesField(10, le(v64))), DoubleData, v64},
		"unpacked 64":     {tensorOf(Float64, dims, fixed64Field(10, v64[0]), fixed64Field(10, v64[1]), fixed64Field(10, v64[2])), DoubleData, v64},
		"scalar":          {tensorOf(Float32, nil, bytesField(9, le(v32[:1]))), Raw, v32[:1]},
		"zero elements":   {tensorOf(Float32, []int64{0, 1 << 40}), NoData, []float32{}},
		"zero raw":        {tensorOf(Float32, []int64{2, 0}, bytesField(9)), Raw, []float32{}},
		"packed dims":     {join(bytesField(1, varints(1, 3)), uintField(2, 1), bytesField(9, le(v32))), Raw, v32},
	} {
		t.Run(name, func(t *testing.T) {
			x := parseOne(t, c.fields)
			var got any
			var err error
			if x.DType == Float32 {
				got, _, err = x.Float32s()
			} else {
				got, _, err = x.Float64s()
			}
			if err != nil {
				t.Fatal(err)
			}
			if x.Encoding != c.enc {
				t.Errorf("encoding is %v, want %v", x.Encoding, c.enc)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("elements (-want +got):\n%s", d)
			}
		})
	}
}

func TestInts(t *testing.T) {
	dims := []int64{2}
	for name, c := range map[string]struct {
		fields []byte
		want   []int64
	}{
		"int64 raw":           {tensorOf(Int64, dims, bytesField(9, le([]int64{-1, 1 << 40}))), []int64{-1, 1 << 40}},
		"int64_data":          {tensorOf(Int64, dims, bytesField(7, varints(-1, 1<<40))), []int64{-1, 1 << 40}},
		"int64_data unpacked": {tensorOf(Int64, dims, uintField(7, 3), uintField(7, 1<<64-2)), []int64{3, -2}},
		"int32 raw":           {tensorOf(Int32, dims, bytesField(9, le([]int32{-1, 5}))), []int64{-1, 5}},
		"int32_data":          {tensorOf(Int32, dims, bytesField(5, varints(-7, 5))), []int64{-7, 5}},
		"int32_data short -1": {tensorOf(Int32, dims, bytesField(5, varints(math.MaxUint32, 5))), []int64{-1, 5}},
		"int16 raw":           {tensorOf(Int16, dims, bytesField(9, le([]int16{-300, 5}))), []int64{-300, 5}},
		"int16":               {tensorOf(Int16, dims, bytesField(5, varints(-300, 5))), []int64{-300, 5}},
		"int8 raw":            {tensorOf(Int8, dims, bytesField(9, le([]int8{-128, 5}))), []int64{-128, 5}},
		"int8":                {tensorOf(Int8, dims, bytesField(5, varints(-128, 127))), []int64{-128, 127}},
		"uint8":               {tensorOf(Uint8, dims, bytesField(5, varints(255, 0))), []int64{255, 0}},
		"uint8 raw":           {tensorOf(Uint8, dims, bytesField(9, []byte{255, 0})), []int64{255, 0}},
		"uint16":              {tensorOf(Uint16, dims, bytesField(5, varints(65535, 0))), []int64{65535, 0}},
		"uint16 raw":          {tensorOf(Uint16, dims, bytesField(9, le([]uint16{65535, 0}))), []int64{65535, 0}},
		"uint32 raw":          {tensorOf(Uint32, dims, bytesField(9, le([]uint32{1 << 31, 0}))), []int64{1 << 31, 0}},
		"uint32":              {tensorOf(Uint32, dims, bytesField(11, varints(1<<31, 0))), []int64{1 << 31, 0}},
		"uint64":              {tensorOf(Uint64, dims, bytesField(11, varints(1<<62, 0))), []int64{1 << 62, 0}},
		"bool":                {tensorOf(Bool, dims, bytesField(5, varints(1, 0))), []int64{1, 0}},
		"bool raw":            {tensorOf(Bool, dims, bytesField(9, []byte{0, 1})), []int64{0, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseOne(t, c.fields).Int64s()
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("elements (-want +got):\n%s", d)
			}
		})
	}
}

func TestHalves(t *testing.T) {
	want := []uint16{0x3c00, 0xc000, 0xffff}
	for _, fields := range [][]byte{
		tensorOf(Float16, []int64{3}, bytesField(9, le(want))),
		tensorOf(BFloat16, []int64{3}, bytesField(5, varints(0x3c00, 0xc000, 0xffff))),
	} {
		got, err := parseOne(t, fields).Halves()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("bits (-want +got):\n%s", d)
		}
	}
}

func TestTensorRefuses(t *testing.T) {
	one := le([]float32{1})
	for name, c := range map[string]struct {
		fields []byte
		want   string
	}{
		"too few":         {tensorOf(Float32, []int64{2, 3}, bytesField(9, make([]byte, 10))), `tensor "w" at byte 6: raw_data holds 10 bytes, dims [2 3] of float32 want 24`},
		"too many":        {tensorOf(Float32, []int64{1}, bytesField(4, le([]float32{1, 2}))), "float_data holds 8 bytes, dims [1] of float32 want 4"},
		"none":            {tensorOf(Float32, []int64{1}), "no data holds 0 bytes"},
		"huge":            {tensorOf(Float32, []int64{1 << 40, 1 << 40}, bytesField(9, one)), "too many elements"},
		"huge bytes":      {tensorOf(Float32, []int64{1 << 61}, bytesField(9, one)), "too many elements"},
		"negative":        {tensorOf(Float32, []int64{-1}, bytesField(9, one)), "negative dimension"},
		"negative times":  {tensorOf(Float32, []int64{-1, -1}, bytesField(9, one)), "negative dimension"},
		"twice":           {tensorOf(Float32, []int64{1}, bytesField(9, one), bytesField(4, one)), "elements are stored twice"},
		"wrong field":     {tensorOf(Float32, []int64{1}, bytesField(5, varints(1))), "elements of type float32 in int32_data"},
		"segment":         {tensorOf(Float32, []int64{1}, bytesField(3), bytesField(9, one)), "segments"},
		"no type":         {tensorOf(Undefined, []int64{1}, bytesField(9, one)), "undefined have no raw form"},
		"unknown type":    {tensorOf(99, []int64{1}, bytesField(9, one)), "type 99"},
		"location 7":      {tensorOf(Float32, []int64{1}, uintField(14, 7)), "data_location 7"},
		"no location":     {tensorOf(Float32, []int64{1}, uintField(14, 1)), "no location"},
		"from bytes":      {tensorOf(Float32, []int64{1}, bytesField(13, stringField(1, "location"), stringField(2, "d")), uintField(14, 1)), "not read from a folder"},
		"negative offset": {tensorOf(Float32, []int64{1}, bytesField(13, stringField(1, "offset"), stringField(2, "-4")), uintField(14, 1)), `offset "-4"`},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := parseOne(t, c.fields).Float32s()
			if name == "no type" || name == "unknown type" {
				_, _, err = parseOne(t, c.fields).Bytes()
			}
			wantError(t, err, c.want)
		})
	}
	_, err := parseOne(t, tensorOf(Uint64, []int64{1}, bytesField(11, varints(-1)))).Int64s()
	wantError(t, err, "beyond")
	_, err = parseOne(t, tensorOf(Uint8, []int64{1}, bytesField(5, varints(256)))).Int64s()
	wantError(t, err, "outside the range of uint8")
	_, _, err = parseOne(t, tensorOf(Int64, []int64{1}, bytesField(7, varints(1)))).Float32s()
	wantError(t, err, "elements are int64, want float32")
	_, err = parseOne(t, tensorOf(Float32, []int64{1}, bytesField(9, one))).Int64s()
	wantError(t, err, "want integers")
}

// Views are shared where the payload is aligned in memory, and everywhere on
// machines that do not care; the numbers are right either way.
func TestAlignment(t *testing.T) {
	want := []float32{1, 2, 3, 4}
	shares := 0
	for pad := range 8 {
		data := modelOf(stringField(10, string(bytes.Repeat([]byte{'x'}, pad))),
			bytesField(5, tensorOf(Float32, []int64{4}, bytesField(9, le(want)))))
		x := &mustParse(t, data).Graph.Initializers[0]
		raw, inPlace, err := x.Bytes()
		check(t, err)
		got, shared, err := x.Float32s()
		check(t, err)
		aligned := unaligned || uintptr(unsafe.Pointer(&raw[0]))%4 == 0
		if !inPlace || shared != aligned || shared != (unsafe.Pointer(&raw[0]) == unsafe.Pointer(&got[0])) {
			t.Errorf("pad %d: bytes in place %t, floats shared %t, aligned %t", pad, inPlace, shared, aligned)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("pad %d (-want +got):\n%s", pad, d)
		}
		if shared {
			shares++
		}
	}
	if want := map[bool]int{false: 2, true: 8}[unaligned]; shares != want {
		t.Errorf("%d of 8 offsets are shared, want %d", shares, want)
	}
}

func TestParseTensor(t *testing.T) {
	x, err := ParseTensor(tensorOf(Float32, []int64{2}, fixed32Field(4, 1), fixed32Field(4, 2)))
	check(t, err)
	v, _, err := x.Float32s()
	check(t, err)
	if d := cmp.Diff([]float32{1, 2}, v); d != "" || x.Name != "w" {
		t.Errorf("tensor %q (-want +got):\n%s", x.Name, d)
	}
	_, err = ParseTensor(protowire.AppendTag(nil, 9, protowire.BytesType))
	wantError(t, err, "truncated")
}
