package dataset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"

	"github.com/relupath/relupath/internal/words"
)

// kind is the type of an array's elements.
type kind struct {
	size int // bytes of one element
	// value is the number that the bits of an element stand for.
	value func(bits uint64) float64
}

type number = func(i int) float64

func integer[T int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64](bits uint64) float64 {
	return float64(T(bits))
}

var (
	kindBool = &kind{1, integer[uint8]}
	kindU8   = &kind{1, integer[uint8]}
	kindI8   = &kind{1, integer[int8]}
	kindU16  = &kind{2, integer[uint16]}
	kindI16  = &kind{2, integer[int16]}
	kindU32  = &kind{4, integer[uint32]}
	kindI32  = &kind{4, integer[int32]}
	kindU64  = &kind{8, integer[uint64]}
	kindI64  = &kind{8, integer[int64]}
	kindF32  = &kind{4, func(bits uint64) float64 { return float64(math.Float32frombits(uint32(bits))) }}
	kindF64  = &kind{8, math.Float64frombits}
)

// array is what the array formats have in common: raw elements in C order.
type array struct {
	file  string // for errors, with the array's name where there are several
	kind  *kind
	order binary.ByteOrder
	shape []int
	data  []byte
	// texts are the labels of an array of texts, which has no kind and no data.
	texts *texts
	// all is the number of examples in the file: shape[0] of them are here.
	all int
	// rest is what class labels beyond them were.
	rest labels
}

// labels are class labels that are not kept.
type labels struct {
	largest float64
	// odd is the first that is no whole number from 0 on, oddAt its place.
	odd   float64
	oddAt int
}

// isClass says whether a number can be a class label.
func isClass(v float64) bool { return v == math.Trunc(v) && v >= 0 && v <= math.MaxInt32 }

// labelPiece is how many labels that are not kept are read at once.
const labelPiece = 1 << 16

// pass reads n labels, of which nothing is kept.
func (a *array) pass(s *source, n int, what string) error {
	for done := 0; done < n; {
		part := array{kind: a.kind, order: a.order}
		var err error
		if part.data, err = s.read(int64(min(n-done, labelPiece)*a.kind.size), what); err != nil {
			return err
		}
		get := part.at()
		for i := range part.len() {
			v := get(i)
			if !isClass(v) && a.rest.oddAt == 0 {
				a.rest.odd, a.rest.oddAt = v, a.shape[0]+done+i
			}
			a.rest.largest = max(a.rest.largest, v)
		}
		done += part.len()
	}
	return nil
}

// load reads the elements of an array of known kind and shape, row-major or, where
// fortran says so, column-major, into row-major order. Of those beyond the source's
// limit nothing is kept, and nothing read where nothing that is kept follows.
func (a *array) load(s *source, fortran bool, what string) error {
	whole, err := byteCount(s.name, a.kind, a.shape)
	if err != nil {
		return err
	}
	if err := s.need(whole, what); err != nil {
		return err
	}
	kept, column := whole, whole
	if len(a.shape) > 0 {
		a.all = a.shape[0]
	}
	beyond := a.all - s.limit
	cut := s.limit > 0 && beyond > 0
	if cut {
		// The examples lie one behind the other, or a number of each behind those of all.
		a.shape[0] = s.limit
		kept = whole / int64(a.all) * int64(s.limit)
		if column = kept; fortran {
			column = int64(s.limit * a.kind.size)
		}
	}
	if err := s.room(kept, what); err != nil {
		return err
	}
	for n := int64(0); n < kept; n += column {
		if n == 0 {
			if a.data, err = s.read(column, what); err != nil {
				return err
			}
			continue
		}
		if err := s.skip(int64(beyond*a.kind.size), what); err != nil {
			return err
		}
		b, err := s.read(column, what)
		if err != nil {
			return err
		}
		a.data = append(a.data, b...)
	}
	if fortran && len(a.shape) > 1 && kept > 0 { // of no elements there may be any number of columns
		a.data = fromFortran(a.data, a.kind.size, a.shape)
	}
	switch {
	case !cut:
		return s.end(what)
	case s.labels && kept == int64(s.limit*a.kind.size):
		return errors.Join(a.pass(s, beyond, what), s.end(what))
	}
	return nil
}

// product is the number of elements of a shape, false where it overflows or a
// dimension is negative.
func product(shape []int) (int64, bool) {
	n := uint64(1)
	zero := false
	for _, d := range shape {
		if d < 0 {
			return 0, false
		}
		if d == 0 {
			zero = true
			continue
		}
		hi, lo := bits.Mul64(n, uint64(d))
		if hi != 0 || lo > math.MaxInt64 {
			return 0, false
		}
		n = lo
	}
	if zero {
		return 0, true
	}
	return int64(n), true
}

// byteCount is the number of bytes of an array, or an error for a shape that
// no file can hold.
func byteCount(file string, k *kind, shape []int) (int64, error) {
	n, ok := product(shape)
	if !ok || n > math.MaxInt64/8 {
		return 0, impossible(file, shape)
	}
	return n * int64(k.size), nil
}

// impossible is the error for a shape that no file can hold.
func impossible(file string, shape []int) error {
	return wrong(file, "", fmt.Sprintf("shape %v is not possible", shape), "the header is damaged: fetch or write the file again")
}

// at returns a function that reads element i.
func (a *array) at() number {
	d, o, size, value := a.data, a.order, a.kind.size, a.kind.value
	switch size {
	case 1:
		return func(i int) float64 { return value(uint64(d[i])) }
	case 2:
		return func(i int) float64 { return value(uint64(o.Uint16(d[2*i:]))) }
	case 4:
		return func(i int) float64 { return value(uint64(o.Uint32(d[4*i:]))) }
	}
	return func(i int) float64 { return value(o.Uint64(d[8*i:])) }
}

// len is the number of elements.
func (a *array) len() int {
	if a.texts != nil {
		return len(a.texts.ids)
	}
	return len(a.data) / a.kind.size
}

// rows is the number of examples and the number of values of each.
func (a *array) rows() (n, size int) {
	n = a.shape[0]
	if n > 0 {
		size = a.len() / n
	}
	return n, size
}

// examples makes a table of the array, one example a row, without labels.
func (a *array) examples() (*table, error) {
	if a.texts != nil {
		return nil, wrong(a.file, "", "the elements are texts", "convert the array with astype('float32')")
	}
	if len(a.shape) == 0 {
		return nil, wrong(a.file, "", "the array is a single number", "the first dimension must count the examples")
	}
	n, size := a.rows()
	if size == 0 {
		return nil, wrong(a.file, "", fmt.Sprintf("shape %v holds no values", a.shape), "the first dimension must count the examples, the others their values")
	}
	x, err := a.features(size)
	if err != nil {
		return nil, err
	}
	shape := append([]int{}, a.shape[1:]...)
	if len(shape) == 0 {
		shape = []int{1}
	}
	t := &table{file: a.file, x: x, n: n, all: a.all, shape: shape}
	t.pixels = a.kind == kindU8
	return t, nil
}

// features converts the elements to the narrowest storage that is exact.
func (a *array) features(size int) (features, error) {
	get, n := a.at(), a.len()
	var f features
	switch a.kind {
	case kindBool, kindU8:
		f.u8 = a.data
		return f, nil
	case kindI8, kindU16, kindI16, kindF32:
		f.f32 = make([]float32, n)
	default:
		f.f64 = make([]float64, n)
	}
	for i := range n {
		v := get(i)
		if !usable(v) {
			return f, unusable(a.file, fmt.Sprintf("record %d, column %d", i/size, i%size), v)
		}
		if f.f32 != nil {
			f.f32[i] = float32(v)
		} else {
			f.f64[i] = v
		}
	}
	return f, nil
}

// usable says whether a value survives single precision.
func usable(v float64) bool { return math.Abs(v) <= math.MaxFloat32 }

// unusable is the error for a value that is not.
func unusable(file, where string, v float64) error {
	return wrong(file, where, fmt.Sprintf("the value is %v, want a finite number within single precision", v), "replace it or leave the example out")
}

// labelled reads y into the labels or targets of t. Class labels are whole
// numbers below classes, or below maxClasses where classes is 0.
func (t *table) labelled(y *array, task Task, classes int) error {
	n, width := y.all, 1
	if n > 0 {
		_, width = y.rows()
	}
	if n == 1 && width == t.all && t.all > 1 {
		n, width = t.all, 1 // a row vector, as MATLAB users write them
	}
	if n != t.all {
		return wrong(y.file, "", fmt.Sprintf("%s for the %d examples of %s", words.Count(n, "label"), t.all, t.file), "both must come from the same split of the same data")
	}
	if y.texts != nil {
		if width != 1 {
			return severalTexts(y.file, y.shape, width)
		}
		y.texts.ids = y.texts.ids[:t.n]
		return y.texts.number(t, task, "")
	}
	open := task == ""
	if open {
		task = Classification
		if y.kind == kindF32 || y.kind == kindF64 || width > 1 {
			task = Regression
		}
	}
	if task == Regression {
		return t.regress(y, width)
	}
	if width != 1 {
		return wrong(y.file, "", fmt.Sprintf("shape %v holds %s an example, want one class label", y.shape, words.Count(width, "number")),
			"take the argmax of one-hot rows, or add task=regression")
	}
	err := t.classify(y, classes)
	if err == nil || !open {
		return err
	}
	// A list of classes that comes later may have them.
	t.labels, t.classes, t.unlisted = nil, 0, err
	return t.regress(y, width)
}

// regress stores y as targets.
func (t *table) regress(y *array, width int) error {
	get := y.at()
	t.targets = make([]float64, t.n*width)
	t.width = width
	for i := range t.targets {
		v := get(i)
		if !usable(v) {
			return unusable(y.file, fmt.Sprintf("record %d, target %d", i/width, i%width), v)
		}
		t.targets[i] = v
	}
	return nil
}

// maxClasses bounds class labels where the format does not say how many classes
// there are; a larger number is taken for a mistake.
const maxClasses = 1 << 16

// classify stores y as class labels. Those of examples beyond the limit say which
// classes there are.
func (t *table) classify(y *array, classes int) error {
	limit, remedy := classes, "the file belongs to another data set or is damaged"
	if classes == 0 {
		limit, remedy = maxClasses, "number the classes from 0, name them with classes=A;B;C, or add task=regression"
	}
	get := y.at()
	t.labels = make([]int, 0, t.n)
	for i := range y.len() {
		v := get(i)
		if !isClass(v) || v >= float64(limit) {
			return labelRange(y.file, record(i), fmt.Sprint(v), limit, remedy)
		}
		if i < t.n {
			t.labels = append(t.labels, int(v))
		}
		t.classes = max(t.classes, int(v)+1)
	}
	switch rest := y.rest; {
	case rest.oddAt > 0:
		return labelRange(y.file, record(rest.oddAt), fmt.Sprint(rest.odd), limit, remedy)
	case rest.largest >= float64(limit):
		return labelRange(y.file, "beyond the first examples", fmt.Sprint(rest.largest), limit, remedy)
	default:
		t.classes = max(t.classes, int(rest.largest)+1)
	}
	t.classes = max(t.classes, classes)
	return nil
}

// labelRange is the error for a label outside 0..classes-1.
func labelRange(file, where, label string, classes int, remedy string) error {
	return wrong(file, where, fmt.Sprintf("label %s is out of range, want a whole number in 0..%d", label, classes-1), remedy)
}

// fromFortran reorders elements of size bytes from column-major to row-major.
func fromFortran(data []byte, size int, shape []int) []byte {
	n := shape[0]
	stride := make([]int, len(shape)) // of neighbours along each axis, in elements
	for k, step := 0, 1; k < len(shape); k++ {
		stride[k] = step
		step *= shape[k]
	}
	row := offsets(shape[1:], stride[1:])
	out := make([]byte, 0, len(data))
	for i := range n {
		for _, from := range row {
			out = append(out, data[(i+from)*size:][:size]...)
		}
	}
	return out
}

// offsets are the places of the elements of a shape in row-major order, where neighbours along
// axis k are stride[k] apart.
func offsets(shape, stride []int) []int {
	at := []int{0}
	for k, d := range shape {
		next := make([]int, 0, len(at)*d)
		for _, from := range at {
			for i := range d {
				next = append(next, from+i*stride[k])
			}
		}
		at = next
	}
	return at
}
