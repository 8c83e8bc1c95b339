package dataset

import (
	"bytes"
	"compress/zlib"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/relupath/relupath/internal/words"
)

// The data types and array classes of a MATLAB 5 file: MathWorks, MAT-File
// Format, tables 1-1 and 1-3.
const (
	miMatrix     = 14
	miCompressed = 15

	mxFirstNumeric = 6 // double
	mxLastNumeric  = 15
	mxComplex      = 0x0800
)

var matKinds = map[uint32]*kind{
	1: kindI8, 2: kindU8, 3: kindI16, 4: kindU16, 5: kindI32, 6: kindU32, 7: kindF32, 9: kindF64, 12: kindI64, 13: kindU64,
}

const (
	matHeader  = 128
	matRemedy  = "load the file in MATLAB and save it with '-v7', or write it with scipy.io.savemat"
	matDamaged = "the file is damaged: fetch it again"
)

// readMAT returns the variables of the given names. Their shapes are as in the
// file and their elements in the file's column-major order.
func readMAT(s *source, names ...string) (map[string]*array, error) {
	order, err := readMATHeader(s)
	if err != nil {
		return nil, err
	}
	found := map[string]*array{}
	m := matElements{s: s, order: order}
	for {
		if _, err := s.r.Peek(1); errors.Is(err, io.EOF) {
			return found, nil
		}
		tag, err := m.tag()
		switch {
		case err != nil:
		case tag.kind == miMatrix, tag.kind == miCompressed:
			err = m.matrix(tag, names, found)
		case tag.small == nil:
			err = s.skip(tag.size, "an element")
			m.pad = -tag.size & 7
		}
		if err != nil {
			return nil, err
		}
	}
}

// matrix reads a variable of the file's top level and leaves the source behind
// it.
func (m *matElements) matrix(tag matTag, names []string, found map[string]*array) error {
	if err := m.s.need(tag.size, "a variable"); err != nil {
		return err
	}
	body := &io.LimitedReader{R: m.s.r, N: tag.size}
	inner := matElements{s: plainSource(m.s.ctx, m.s.name, body, tag.size), order: m.order}
	inner.s.packed, inner.s.limit, inner.s.size = m.s.packed, m.s.limit, min(m.s.size, tag.size)
	if tag.kind == miCompressed {
		if err := inner.inflate(); err != nil {
			return err
		}
	}
	if err := inner.variable(names, found); err != nil {
		return err
	}
	m.s.left -= tag.size - body.N
	return m.s.skip(body.N, "a variable")
}

// readMATHeader checks the header and returns the byte order.
func readMATHeader(s *source) (binary.ByteOrder, error) {
	head, err := s.read(matHeader, "the MATLAB header")
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(head, []byte("\x89HDF")) || bytes.HasPrefix(head, []byte("MATLAB 7.3")) {
		return nil, wrong(s.name, "", "this is a version 7.3 file (HDF5), want version 5", matRemedy)
	}
	var order binary.ByteOrder = binary.LittleEndian
	if string(head[126:]) == "MI" {
		order = binary.BigEndian
	}
	if version := order.Uint16(head[124:]); version != 0x0100 || order.Uint16(head[126:]) != 'M'<<8|'I' {
		return nil, wrong(s.name, "", "this is not a MATLAB version 5 file", matRemedy)
	}
	return order, nil
}

// matElements reads the data elements of a source one after the other.
type matElements struct {
	s     *source
	order binary.ByteOrder
	pad   int64 // bytes between the last element and the next
}

// matTag begins an element.
type matTag struct {
	kind  uint32
	size  int64
	small []byte // the data of a small element, which lie in the tag
}

// inflate replaces the source of a compressed element by its content, and
// reads the tag of the one variable in it.
func (m *matElements) inflate() error {
	z, err := zlib.NewReader(m.s.r)
	if err != nil {
		return m.s.damaged(err)
	}
	m.s.unpack(z)
	tag, err := m.tag()
	if err != nil {
		return err
	}
	if tag.kind != miMatrix {
		return wrong(m.s.name, "", fmt.Sprintf("a compressed element holds data of type %d, want a matrix", tag.kind), matDamaged)
	}
	return m.s.need(tag.size, "a compressed matrix")
}

// tag reads eight bytes: type and size of what follows, or both in the first
// four and up to four bytes of data in the others.
func (m *matElements) tag() (matTag, error) {
	b, err := m.s.read(m.pad+8, "an element's tag")
	if err != nil {
		return matTag{}, err
	}
	b = b[m.pad:]
	m.pad = 0
	word := m.order.Uint32(b)
	if n := word >> 16; n != 0 {
		if n > 4 {
			return matTag{}, wrong(m.s.name, "", fmt.Sprintf("a small element declares %s, want at most 4", words.Count(n, "byte")), matDamaged)
		}
		return matTag{kind: word & 0xffff, size: int64(n), small: b[4 : 4+n]}, nil
	}
	return matTag{kind: word, size: int64(m.order.Uint32(b[4:]))}, nil
}

// element reads a whole element.
func (m *matElements) element(what string) (matTag, []byte, error) {
	tag, err := m.tag()
	if err != nil || tag.small != nil {
		return tag, tag.small, err
	}
	data, err := m.s.read(tag.size, what)
	m.pad = -tag.size & 7
	return tag, data, err
}

// maxMATName bounds a variable's name, which MATLAB limits to 63 bytes.
const maxMATName = 256

// variable reads the elements of a matrix: flags, dimensions, name, data. It
// stops after the name if nobody asked for the variable.
func (m *matElements) variable(names []string, found map[string]*array) error {
	damaged := func(problem string, args ...any) error {
		return wrong(m.s.name, "", fmt.Sprintf(problem, args...), matDamaged)
	}
	_, flags, err := m.element("the array flags")
	if err != nil {
		return err
	}
	if len(flags) != 8 {
		return damaged("the array flags take %s, want 8", words.Count(len(flags), "byte"))
	}
	tag, dims, err := m.element("the dimensions")
	if err != nil {
		return err
	}
	if matKinds[tag.kind] != kindI32 || len(dims) < 8 || len(dims)%4 != 0 {
		return damaged("the dimensions take %s of type %d, want 32-bit integers", words.Count(len(dims), "byte"), tag.kind)
	}
	_, name, err := m.element("the name")
	if err != nil {
		return err
	}
	if len(name) > maxMATName {
		return damaged("a name takes %s", words.Count(len(name), "byte"))
	}
	if !slices.Contains(names, string(name)) {
		return nil
	}
	a := &array{order: m.order, file: fmt.Sprintf("%s (%s)", m.s.name, name)}
	flag := m.order.Uint32(flags)
	if class := flag & 0xff; class < mxFirstNumeric || class > mxLastNumeric || flag&mxComplex != 0 {
		return wrong(a.file, "", "the variable is not a real numeric array", "save a full real array")
	}
	for ; len(dims) > 0; dims = dims[4:] {
		a.shape = append(a.shape, int(int32(m.order.Uint32(dims))))
	}
	a.all = a.shape[len(a.shape)-1]
	if err := m.values(a); err != nil {
		return err
	}
	found[string(name)] = a
	if n := a.shape[len(a.shape)-1]; n < a.all {
		return nil // what is left belongs to examples that nobody asked for
	}
	return m.finish(a.file)
}

// values reads the elements of an array, whose storage can be narrower than its
// class. Of images, along whose fourth axis the examples lie, it reads the source's
// limit.
func (m *matElements) values(a *array) error {
	what := "the values of " + a.file
	tag, err := m.tag()
	if err != nil {
		return err
	}
	if a.kind = matKinds[tag.kind]; a.kind == nil {
		return wrong(a.file, "", fmt.Sprintf("the values have type %d, want numbers", tag.kind), matDamaged)
	}
	want, err := byteCount(a.file, a.kind, a.shape)
	if err != nil {
		return err
	}
	if want != tag.size {
		return wrong(a.file, "", fmt.Sprintf("the values take %s, but shape %v needs %d", words.Count(tag.size, "byte"), a.shape, want), matDamaged)
	}
	if tag.small != nil {
		a.data = tag.small
		return nil
	}
	m.pad = -tag.size & 7
	if limit := m.s.limit; len(a.shape) == 4 && limit > 0 && limit < a.all {
		if err := m.s.need(want, what); err != nil {
			return err
		}
		a.shape[3] = limit
		want = want / int64(a.all) * int64(limit)
	}
	a.data, err = m.s.read(want, what)
	return err
}

// finish passes over the padding of the last element, which some writers leave
// out, and checks that nothing but the checksum follows.
func (m *matElements) finish(file string) error {
	if _, err := io.CopyN(io.Discard, m.s.r, m.pad); err != nil && !errors.Is(err, io.EOF) {
		return m.s.damaged(err)
	}
	return m.s.end("the values of " + file)
}

// loadSVHN reads a file.
func loadSVHN(ctx context.Context, s Spec, _ Split) (*table, error) {
	return fromFile(ctx, s.Paths[0], s.Limit, false, readSVHN)
}

// readSVHN reads the cropped digits of Netzer et al., Reading digits in natural
// images with unsupervised feature learning (2011): X of shape (32, 32, 3, N),
// uint8, and y of shape (N, 1) with 1..10, where 10 stands for the digit 0.
func readSVHN(s *source) (*table, error) {
	found, err := readMAT(s, "X", "y")
	if err != nil {
		return nil, err
	}
	x, y := found["X"], found["y"]
	if x == nil || y == nil {
		return nil, wrong(s.name, "", "the file does not hold both variables X and y", "give a file of the cropped digits, such as train_32x32.mat")
	}
	if len(x.shape) == 3 {
		x.shape, x.all = append(x.shape, 1), 1 // MATLAB drops a last dimension of 1
	}
	if len(x.shape) != 4 || !slices.Equal(x.shape[:3], []int{32, 32, 3}) || x.kind != kindU8 || x.shape[3] == 0 {
		return nil, wrong(x.file, "", fmt.Sprintf("shape %v, want (32, 32, 3, N) of uint8", x.shape), "give a file of the cropped digits, such as train_32x32.mat")
	}
	// Column-major (32, 32, 3, N) is row-major (N, channel, column, row).
	t := &table{
		file: s.name, n: x.shape[3], all: x.all, shape: []int{3, 32, 32}, pixels: true,
		x: features{u8: x.data}, layout: LayoutCHW,
	}
	t.permute([3]int{0, 2, 1})
	if len(y.shape) != 2 || y.len() != t.all || y.shape[0] != t.all && y.shape[1] != t.all {
		return nil, wrong(y.file, "", fmt.Sprintf("shape %v for %s, want (%d, 1)", y.shape, words.Count(t.all, "image"), t.all), "the file is damaged: fetch it again")
	}
	t.classes = 10
	get := y.at()
	t.labels = make([]int, t.n)
	for i := range t.labels {
		v := get(i)
		if v != float64(int(v)) || v < 1 || v > 10 {
			return nil, wrong(y.file, record(i), fmt.Sprintf("label %v is out of range, want 1..10, where 10 is the digit 0", v),
				"give a file of the cropped digits, such as train_32x32.mat")
		}
		t.labels[i] = int(v) % 10
	}
	return t, nil
}
