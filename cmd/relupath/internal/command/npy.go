package command

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/memory"
	"github.com/relupath/relupath/internal/words"
)

// array is the content of a NumPy file, widened to float64, row-major.
type array struct {
	shape []int
	data  []float64
}

// npyHeader matches the three entries of a NumPy header, in the order in which
// every writer puts them.
var npyHeader = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(
		`^\{\s*'descr':\s*'([<>|=]?)([a-zA-Z])([0-9]+)',\s*'fortran_order':\s*(True|False),\s*'shape':\s*\(([0-9, ]*)\),?\s*\}\s*$`)
})

// readNPY reads a NumPy file of booleans, whole numbers or reals, of any
// version. Memory is bounded by the file's size. Errors: what is no such file.
func readNPY(name string, raw []byte) (*array, error) {
	header, body, ok := splitNPY(raw)
	if !ok {
		if bytes.HasPrefix(raw, []byte("PK\x03\x04")) {
			return nil, invalidf("%s: not a NumPy file (.npy) but an archive: numpy.save(\"x.npy\", numpy.load(FILE)[NAME]) takes one array out of an npz", name)
		}
		return nil, invalidf("%s: not a NumPy file (.npy)", name)
	}
	m := npyHeader().FindSubmatch(header)
	if m == nil {
		return nil, invalidf("%s: NumPy header %.80q: want a plain array of numbers", name, header)
	}
	size, _ := strconv.Atoi(string(m[3]))
	element := npyElement(string(m[2]), size)
	if element == nil {
		return nil, invalidf("%s: elements of type %s%s are not supported: save it as float32 or float64", name, m[2], m[3])
	}
	a := &array{shape: []int{}}
	n := 1
	for s := range strings.SplitSeq(string(m[5]), ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		d, err := strconv.Atoi(s)
		if err != nil || d > 0 && n > len(raw)/d {
			return nil, invalidf("%s: shape (%s) is more than the file of %s holds", name, m[5], words.Count(len(raw), "byte"))
		}
		a.shape = append(a.shape, d)
		n *= d
	}
	if n*size != len(body) {
		return nil, invalidf("%s: %s of data, want %d for shape %v", name, words.Count(len(body), "byte"), n*size, a.shape)
	}
	if need := int64(len(raw)) + 8*int64(n); need > memory.Limit() {
		return nil, tooLarge(name, need)
	}
	var order binary.ByteOrder = binary.LittleEndian
	if string(m[1]) == ">" {
		order = binary.BigEndian
	}
	a.data = kernel.LargePages(make([]float64, n))
	if order == binary.LittleEndian && string(m[2]) == "f" && size == 4 { // as most are, in a loop without calls
		for i := range a.data {
			a.data[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(body[4*i:])))
		}
	} else {
		for i := range a.data {
			a.data[i] = element(order, body[i*size:])
		}
	}
	if string(m[4]) == "True" {
		a.rowMajor()
	}
	return a, nil
}

// splitNPY separates a NumPy file's header from its data.
func splitNPY(raw []byte) (header, body []byte, ok bool) {
	if len(raw) < 12 || string(raw[:6]) != "\x93NUMPY" {
		return nil, nil, false
	}
	at, n := 10, int(binary.LittleEndian.Uint16(raw[8:]))
	if raw[6] >= 2 {
		at, n = 12, int(binary.LittleEndian.Uint32(raw[8:]))
	}
	if n > len(raw)-at {
		return nil, nil, false
	}
	return raw[at : at+n], raw[at+n:], true
}

// npyElement returns the decoder of one element; nil for a type that is no
// number.
func npyElement(kind string, size int) func(o binary.ByteOrder, b []byte) float64 {
	switch fmt.Sprint(kind, size) {
	case "f8":
		return func(o binary.ByteOrder, b []byte) float64 { return math.Float64frombits(o.Uint64(b)) }
	case "f4":
		return func(o binary.ByteOrder, b []byte) float64 { return float64(math.Float32frombits(o.Uint32(b))) }
	case "f2":
		return func(o binary.ByteOrder, b []byte) float64 { return float64(dag.Float16ToFloat32(o.Uint16(b))) }
	case "i8":
		return func(o binary.ByteOrder, b []byte) float64 { return float64(int64(o.Uint64(b))) }
	case "i4":
		return func(o binary.ByteOrder, b []byte) float64 { return float64(int32(o.Uint32(b))) }
	case "i2":
		return func(o binary.ByteOrder, b []byte) float64 { return float64(int16(o.Uint16(b))) }
	case "i1":
		return func(_ binary.ByteOrder, b []byte) float64 { return float64(int8(b[0])) }
	case "u8":
		return func(o binary.ByteOrder, b []byte) float64 { return float64(o.Uint64(b)) }
	case "u4":
		return func(o binary.ByteOrder, b []byte) float64 { return float64(o.Uint32(b)) }
	case "u2":
		return func(o binary.ByteOrder, b []byte) float64 { return float64(o.Uint16(b)) }
	case "u1", "b1":
		return func(_ binary.ByteOrder, b []byte) float64 { return float64(b[0]) }
	}
	return nil
}

// rowMajor turns column-major data around.
func (a *array) rowMajor() {
	out := make([]float64, len(a.data))
	at := make([]int, len(a.shape))
	for _, x := range a.data {
		k := 0
		for d, i := range at {
			k = k*a.shape[d] + i
		}
		out[k] = x
		for d := range at {
			if at[d]++; at[d] < a.shape[d] {
				break
			}
			at[d] = 0
		}
	}
	a.data = out
}

// writeNPY writes an array as a NumPy file, version 1, of the given element
// type: float32, float64 or int64.
func writeNPY(w io.Writer, a *array, element string) error {
	code, size := "<f8", 8
	switch element {
	case "float32":
		code, size = "<f4", 4
	case "int64":
		code = "<i8"
	}
	dims := lists.Map(a.shape, strconv.Itoa)
	shape := strings.Join(dims, ", ")
	if len(dims) == 1 {
		shape += ","
	}
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", code, shape)
	// Magic, version, length, header and its newline end on a multiple of 64.
	const prefix = 10
	pad := (64 - (prefix+len(header)+1)%64) % 64
	header += strings.Repeat(" ", pad) + "\n"
	buf := make([]byte, 0, prefix+len(header)+size*len(a.data))
	buf = append(buf, "\x93NUMPY\x01\x00"...)
	buf = binary.LittleEndian.AppendUint16(buf, uint16(len(header)))
	buf = append(buf, header...)
	for _, x := range a.data {
		switch code {
		case "<f4":
			buf = binary.LittleEndian.AppendUint32(buf, math.Float32bits(float32(x)))
		case "<i8":
			buf = binary.LittleEndian.AppendUint64(buf, uint64(int64(x)))
		default:
			buf = binary.LittleEndian.AppendUint64(buf, math.Float64bits(x))
		}
	}
	_, err := w.Write(buf)
	return err
}
