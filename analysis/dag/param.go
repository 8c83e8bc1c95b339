package dag

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"sync"
	"unsafe"

	"github.com/relupath/relupath/analysis/kernel"
	"github.com/relupath/relupath/internal/lists"
)

// DType is the stored type of a Param's scalars.
type DType uint8

// The stored types. Float16 and BFloat16 are held widened to float32.
const (
	Float32 DType = iota
	Float64
	Float16
	BFloat16
)

// String returns the type's name: float32, float64, float16, bfloat16.
func (d DType) String() string {
	return [...]string{"float32", "float64", "float16", "bfloat16"}[d]
}

// Size returns the bytes of one stored scalar.
func (d DType) Size() int { return [...]int{4, 8, 2, 2}[d] }

// Epsilon returns the distance from 1 to the next larger number of the type.
func (d DType) Epsilon() float64 {
	return [...]float64{0x1p-23, 0x1p-52, 0x1p-10, 0x1p-7}[d]
}

// Largest returns the largest finite number of the type.
func (d DType) Largest() float64 {
	return [...]float64{math.MaxFloat32, math.MaxFloat64, 65504, 0x1.fep127}[d]
}

// Smallest returns the smallest positive number of the type.
func (d DType) Smallest() float64 {
	return [...]float64{0x1p-149, 0x1p-1074, 0x1p-24, 0x1p-133}[d]
}

// Storage says how an edited Param can go back to where it was read from.
type Storage uint8

// The ways of writing an edited Param back.
const (
	// InPlace: the stored tensor takes new values of the same shape.
	InPlace Storage = iota
	// NewInitializer: a tensor of its own must be added (the value sits in a
	// constant node, was computed from constants, or belongs to no file).
	NewInitializer
	// Unwritable: no edit can be stored; Param.Reason says why. The units
	// whose weights it holds are pinned.
	Unwritable
)

// Param is one stored tensor: its name, shape, type and a view of its values,
// never copied on reading. Values are immutable; an edit makes a new Param
// whose Origin is the stored one. Shared tensors are one Param with several
// uses.
type Param struct {
	// Name is for messages only.
	Name string
	// Shape is the stored shape; its product is Len.
	Shape []int
	// Type is the stored type.
	Type DType
	// Storage says how an edit is written back, Reason why it cannot be.
	Storage Storage
	Reason  string
	// Made says that the graph makes the numbers of shapes, such as positions: they are not
	// learned, and other inputs have others.
	Made bool
	// Of, if not nil, is the stored tensor that the values are elements of, which may be a part
	// of it or come several times; OfLen is the number of its elements.
	Of    any
	OfLen int
	// Ref belongs to the reader that made the Param (onnxio) and is opaque here.
	Ref any

	f32    []float32
	f64    []float64
	n      int
	origin *Param
	scale  *scaling
	once   sync.Once

	// top is what MaxAbs gave, of a Param as it was read.
	top     float64
	topOnce sync.Once
}

// NewParam32 returns a Param over float32 values, which it keeps a view of.
// typ is Float32, or Float16 or BFloat16 for widened values. It panics when
// the shape does not fit.
func NewParam32(name string, typ DType, shape []int, data []float32) *Param {
	checkShape(name, shape, len(data))
	if typ == Float64 {
		panic("dag: NewParam32 with float64")
	}
	return &Param{Name: name, Shape: shape, Type: typ, f32: data, n: len(data)}
}

// NewParam64 returns a Param over float64 values, which it keeps a view of. It
// panics when the shape does not fit.
func NewParam64(name string, shape []int, data []float64) *Param {
	checkShape(name, shape, len(data))
	return &Param{Name: name, Shape: shape, Type: Float64, f64: data, n: len(data)}
}

func checkShape(name string, shape []int, n int) {
	if Size(shape) != n {
		panic(fmt.Sprintf("dag: param %q: %d values for shape %v", name, n, shape))
	}
}

// Size returns the number of elements of a shape; 1 for the empty shape.
func Size(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// Len returns the number of stored scalars.
func (p *Param) Len() int { return p.n }

// Origin returns the Param as it was read, before any edit.
func (p *Param) Origin() *Param {
	if p.origin != nil {
		return p.origin
	}
	return p
}

// Float32s returns the values as float32 where they are held so, nil for a
// float64 Param. The slice must not be written to.
func (p *Param) Float32s() []float32 { p.materialize(); return p.f32 }

// Float64s returns the values of a float64 Param, nil for others. The slice
// must not be written to.
func (p *Param) Float64s() []float64 { p.materialize(); return p.f64 }

// At returns value i.
func (p *Param) At(i int) float64 {
	p.materialize()
	if p.f64 != nil {
		return p.f64[i]
	}
	return float64(p.f32[i])
}

// zero reports whether all values are zero; it reads as far as the first that is not.
func (p *Param) zero() bool {
	if p.scale != nil { // by factors, which are positive
		return p.scale.base.zero()
	}
	for i := range p.n {
		if p.At(i) != 0 {
			return false
		}
	}
	return true
}

// Values returns a new float64 slice of all values.
func (p *Param) Values() []float64 {
	p.materialize()
	if p.f64 != nil {
		return slices.Clone(p.f64)
	}
	return lists.Convert[float64](p.f32)
}

// derive returns an edited copy of p without values.
func (p *Param) derive(shape []int) *Param {
	return &Param{
		Name: p.Name, Shape: shape, Type: p.Type, Storage: p.Storage, Reason: p.Reason,
		Ref: p.Ref, n: Size(shape), origin: p.Origin(),
	}
}

// WithValues returns an edited copy of p with other values, rounded to p's
// type, of the given shape (p's own when nil). The length must fit.
func (p *Param) WithValues(shape []int, v []float64) *Param {
	if shape == nil {
		shape = p.Shape
	}
	return p.withValues(p.Type, shape, v)
}

// withValues is WithValues, rounded to a type that is given.
func (p *Param) withValues(typ DType, shape []int, v []float64) *Param {
	checkShape(p.Name, shape, len(v))
	q := p.derive(shape)
	q.Type = typ
	if typ == Float64 {
		q.f64 = slices.Clone(v)
		return q
	}
	q.f32 = make([]float32, len(v))
	for i, x := range v {
		q.f32[i] = round(typ, x)
	}
	return q
}

func round(t DType, x float64) float32 {
	switch t {
	case Float16:
		return Float16ToFloat32(Float32ToFloat16(float32(x)))
	case BFloat16:
		return BFloat16ToFloat32(Float32ToBFloat16(float32(x)))
	}
	return float32(x)
}

// WithFloat32s is WithValues for float32 values of p's own shape, which it
// keeps a view of; p must hold float32.
func (p *Param) WithFloat32s(v []float32) *Param {
	checkShape(p.Name, p.Shape, len(v))
	if p.Type != Float32 {
		panic("dag: WithFloat32s on " + p.Type.String())
	}
	q := p.derive(p.Shape)
	q.f32 = v
	return q
}

// scaling multiplies the stored tensor, seen as [len(a)][B][K] with B columns
// a group of rows, element by element: value (i, j, k) of row group g(i) by
// a[i]*b[g(i)*B+j]. A nil factor list is all ones.
type scaling struct {
	base   *Param
	a, b   []float64
	B, K   int
	groups int
}

func (s *scaling) equal(t *scaling) bool {
	return s.base == t.base && s.B == t.B && s.K == t.K && s.groups == t.groups &&
		slices.Equal(s.a, t.a) && slices.Equal(s.b, t.b)
}

// hash is the same for equal scalings: layers without number may share one tensor.
func (s *scaling) hash() uint64 {
	var key uint64
	for _, factors := range [][]float64{s.a, s.b} {
		for _, f := range factors {
			key = (key ^ math.Float64bits(f)) * 0x100000001b3 // FNV-1a, by numbers
			key ^= key >> 32
		}
	}
	return key
}

// param returns the lazily scaled Param: its values are computed at the first
// look, or block by block in AppendRaw.
func (s *scaling) param() *Param {
	q := s.base.derive(s.base.Shape)
	q.scale = s
	return q
}

func (p *Param) materialize() {
	if p.scale == nil {
		return
	}
	p.once.Do(func() {
		if p.Type == Float64 {
			p.f64 = p.scale.base.Values() // which may be of another type
			scaleInto(p.f64, p.scale, p.f64, 0)
			return
		}
		p.f32 = make([]float32, p.n)
		scaleInto(p.f32, p.scale, p.scale.base.Float32s(), 0)
		if p.Type != Float32 {
			for i, v := range p.f32 {
				p.f32[i] = round(p.Type, float64(v))
			}
		}
	})
}

// scaleInto writes the scaled values of src[lo:lo+len(dst)] to dst. A value's
// factor a*b is rounded once, the scaled value once more, to the type.
func scaleInto[T kernel.Float](dst []T, s *scaling, src []T, lo int) {
	row := s.B * s.K
	if row == 0 {
		return
	}
	perGroup := max(len(src)/row/max(s.groups, 1), 1)
	for at, hi := lo, lo+len(dst); at < hi; {
		i := at / row
		end := min((i+1)*row, hi)
		r := 1.0
		if s.a != nil {
			r = s.a[i]
		}
		d, w := dst[at-lo:end-lo], src[at:end]
		switch {
		case s.b == nil && r == 1:
			copy(d, w)
		case s.b == nil:
			kernel.Scale(d, r, nil, w)
		default:
			c := s.b[i/perGroup*s.B:][:s.B]
			if s.K == 1 {
				kernel.Scale(d, r, c[at-i*row:end-i*row], w)
			} else {
				scaleRuns(d, r, c, w, s.K, at-i*row)
			}
		}
		at = end
	}
}

// scaleRuns scales runs of k values by r*c[j], from value first of a row on.
func scaleRuns[T kernel.Float](dst []T, r float64, c []float64, src []T, k, first int) {
	for at, hi := first, first+len(src); at < hi; {
		j := at / k
		end := min((j+1)*k, hi)
		kernel.Scale(dst[at-first:end-first], r*c[j], nil, src[at-first:end-first])
		at = end
	}
}

// AppendRaw appends the little-endian stored bytes of values [lo, hi) to dst.
// A lazily scaled Param is computed on the way, so that writing a rescaled
// tensor needs no second copy of it.
func (p *Param) AppendRaw(dst []byte, lo, hi int) []byte {
	at, size := len(dst), (hi-lo)*p.Type.Size()
	dst = slices.Grow(dst, size)[:at+size]
	out := dst[at:]
	switch p.Type {
	case Float64:
		v, direct := view[float64](out)
		if p.scale != nil {
			scaleInto(v, p.scale, p.scale.base.Float64s(), lo)
		} else {
			copy(v, p.f64[lo:hi])
		}
		for i := 0; !direct && i < len(v); i++ {
			binary.LittleEndian.PutUint64(out[8*i:], math.Float64bits(v[i]))
		}
	case Float32:
		v, direct := view[float32](out)
		p.read32(v, lo)
		for i := 0; !direct && i < len(v); i++ {
			binary.LittleEndian.PutUint32(out[4*i:], math.Float32bits(v[i]))
		}
	case Float16:
		v := make([]float32, hi-lo)
		p.read32(v, lo)
		for i, x := range v {
			binary.LittleEndian.PutUint16(out[2*i:], Float32ToFloat16(x))
		}
	case BFloat16:
		v := make([]float32, hi-lo)
		p.read32(v, lo)
		for i, x := range v {
			binary.LittleEndian.PutUint16(out[2*i:], Float32ToBFloat16(x))
		}
	}
	return dst
}

// read32 writes values from lo on to dst without keeping them.
func (p *Param) read32(dst []float32, lo int) {
	if p.scale != nil {
		scaleInto(dst, p.scale, p.scale.base.Float32s(), lo)
		return
	}
	copy(dst, p.f32[lo:])
}

// view returns b as values where the machine stores them as files do, else new
// values as long (direct false).
func view[T kernel.Float](b []byte) (v []T, direct bool) {
	var x T
	size := int(unsafe.Sizeof(x))
	n := len(b) / size
	p := unsafe.Pointer(unsafe.SliceData(b))
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 && uintptr(p)%uintptr(size) == 0 {
		return unsafe.Slice((*T)(p), n), true
	}
	return make([]T, n), false
}

// MaxAbs returns the largest |value|: NaN if one is NaN, zero for none. A Param
// as it was read is looked at on the first call only. At most so many goroutines
// do it; 0 is one.
func (p *Param) MaxAbs(threads int) float64 {
	p.materialize()
	if p.origin != nil {
		return p.maxAbs(threads)
	}
	p.topOnce.Do(func() {
		p.top = math.NaN() // should reading panic
		p.top = p.maxAbs(threads)
	})
	return p.top
}

func (p *Param) maxAbs(threads int) float64 {
	return max(maxAbs(p.f32, threads), maxAbs(p.f64, threads))
}

func maxAbs[T kernel.Float](w []T, threads int) float64 {
	const grain = 1 << 18
	chunks := (len(w) + grain - 1) / grain
	top := make([]float64, chunks)
	kernel.Parallel(chunks, threads, 1, func(lo, hi int) {
		for k := lo; k < hi; k++ {
			top[k] = kernel.MaxAbs(w[k*grain : min((k+1)*grain, len(w))])
		}
	})
	var m float64
	for _, x := range top {
		m = max(m, x)
	}
	return m
}

// Bound returns a number that no |value| exceeds: MaxAbs, or for a rescaled Param
// that of the stored tensor times the largest factors, without computing its
// values. NaN or infinite where nothing is known.
func (p *Param) Bound(threads int) float64 {
	s := p.scale
	if s == nil {
		return p.MaxAbs(threads)
	}
	b := s.base.MaxAbs(threads)
	for _, c := range [][]float64{s.a, s.b} {
		if c != nil {
			b *= maxAbs(c, 1)
		}
	}
	return b * (1 + 0x1p-50) // three roundings
}

// Finite reports whether every stored value is finite.
func (p *Param) Finite() bool {
	x := p.MaxAbs(1)
	return x-x == 0
}
