package dataset

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
)

// matFile writes MATLAB 5 files, the format of readMAT; compressed variables
// are not padded.
type matFile struct {
	order    binary.AppendByteOrder
	compress bool
	b        []byte
}

func newMAT(order binary.AppendByteOrder) *matFile {
	m := &matFile{order: order}
	m.b = append(m.b, bytes.Repeat([]byte(" "), 124)...)
	m.b = order.AppendUint16(m.b, 0x0100)
	m.b = order.AppendUint16(m.b, 'M'<<8|'I')
	return m
}

// element is the bytes of a data element, small where it fits.
func (m *matFile) element(kind uint32, data []byte) []byte {
	var b []byte
	if n := uint32(len(data)); n > 0 && n <= 4 && kind != miMatrix && kind != miCompressed {
		b = m.order.AppendUint32(b, n<<16|kind)
	} else {
		b = m.order.AppendUint32(b, kind)
		b = m.order.AppendUint32(b, n)
	}
	b = append(b, data...)
	for kind != miCompressed && len(b)%8 != 0 {
		b = append(b, 0)
	}
	return b
}

// variable is the content of a matrix element.
func (m *matFile) variable(name string, flags uint32, shape []int, kind uint32, data []byte) []byte {
	f := m.order.AppendUint32(m.order.AppendUint32(nil, flags), 0)
	var dims []byte
	for _, d := range shape {
		dims = m.order.AppendUint32(dims, uint32(d))
	}
	return slices.Concat(m.element(6, f), m.element(5, dims), m.element(1, []byte(name)), m.element(kind, data))
}

func (m *matFile) add(kind uint32, data []byte) *matFile {
	b := m.element(kind, data)
	if m.compress {
		b = m.element(miCompressed, deflate(b))
	}
	m.b = append(m.b, b...)
	return m
}

func (m *matFile) array(name string, shape []int, kind uint32, data []byte) *matFile {
	return m.add(miMatrix, m.variable(name, 9, shape, kind, data))
}

func deflate(data []byte) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	_, err := z.Write(data)
	if err := errors.Join(err, z.Close()); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// svhnPixel is the value at row h, column w, channel c of image n, as in
// testdata/make.py.
func svhnPixel(h, w, c, n int) byte { return byte(7*h + 3*w + 50*c + 11*n) }

// svhnPixels are n images in the file's column-major order.
func svhnPixels(n int) []byte {
	var b []byte
	for i := range n {
		for c := range 3 {
			for w := range 32 {
				for h := range 32 {
					b = append(b, svhnPixel(h, w, c, i))
				}
			}
		}
	}
	return b
}

// checkSVHN checks every pixel.
func checkSVHN(t *testing.T, spec string, labels []int) {
	t.Helper()
	s := mustLoad(t, spec+",scale=1", Options{})
	diff(t, "labels", labels, s.Labels())
	diff(t, "shape", []int{3, 32, 32}, s.Shape())
	diff(t, "classes", 10, s.Classes())
	x := values(s)
	for n := range labels {
		for c := range 3 {
			for h := range 32 {
				for w := range 32 {
					if got, want := x[((n*3+c)*32+h)*32+w], float64(svhnPixel(h, w, c, n)); got != want {
						t.Fatalf("image %d, channel %d, row %d, column %d: got %v, want %v", n, c, h, w, got, want)
					}
				}
			}
		}
	}
}

// The files come from SciPy.
func TestSVHNFromSciPy(t *testing.T) {
	checkSVHN(t, "svhn:testdata/svhn.mat", []int{1, 0})
	checkSVHN(t, "svhn:testdata/svhn_compressed.mat", []int{1, 0, 9})
}

func TestSVHN(t *testing.T) {
	float := func(m *matFile, v ...uint16) []byte {
		var b []byte
		for _, v := range v {
			b = m.order.AppendUint16(b, v)
		}
		return b
	}
	for name, m := range map[string]*matFile{"little": newMAT(binary.LittleEndian), "big": newMAT(binary.BigEndian)} {
		for _, compress := range []bool{false, true} {
			m := &matFile{order: m.order, b: bytes.Clone(m.b), compress: compress}
			if !compress {
				m.add(1, []byte("a comment that is no matrix")).add(2, []byte{1, 2})
			}
			m.array("y", []int{2, 1}, 4, float(m, 10, 3)) // stored narrower than its class, small
			m.array("other", []int{1, 3}, 2, []byte{1, 2, 3})
			m.array("X", []int{32, 32, 3, 2}, 2, svhnPixels(2))
			t.Run(name, func(t *testing.T) {
				checkSVHN(t, "svhn:"+write(t, t.TempDir(), "x.mat", m.b), []int{0, 3})
			})
		}
	}
	one := newMAT(binary.LittleEndian).array("X", []int{32, 32, 3}, 2, svhnPixels(1)).array("y", []int{1, 1}, 2, []byte{7})
	checkSVHN(t, "svhn:"+write(t, t.TempDir(), "one.mat", one.b), []int{7})
}

func TestSVHNErrors(t *testing.T) {
	little := func() *matFile { return newMAT(binary.LittleEndian) }
	x := func(m *matFile) *matFile { return m.array("X", []int{32, 32, 3, 2}, 2, svhnPixels(2)) }
	good := x(little()).array("y", []int{2, 1}, 2, []byte{1, 2}).b
	squeezed := &matFile{order: binary.LittleEndian, compress: true, b: little().b}
	x(squeezed).array("y", []int{2, 1}, 2, []byte{1, 2})
	checksum := bytes.Clone(squeezed.b)
	checksum[len(checksum)-1] ^= 1
	hdf := slices.Concat([]byte("MATLAB 7.3 MAT-file"), make([]byte, 600), []byte("\x89HDF\r\n\x1a\n"))
	tagged := func(kind, size uint32, data ...byte) []byte {
		b := binary.LittleEndian.AppendUint32(little().b, kind)
		return append(binary.LittleEndian.AppendUint32(b, size), data...)
	}
	lie := func(shape []int) []byte { return little().array("X", shape, 2, svhnPixels(2)).b }
	for _, test := range []struct {
		name string
		data []byte
		want []string
	}{
		{"empty", nil, []string{"MATLAB header", "truncated"}},
		{"text", bytes.Repeat([]byte("x"), 200), []string{"not a MATLAB version 5 file", "savemat"}},
		{"hdf5", hdf, []string{"version 7.3", "HDF5", "-v7"}},
		{"plain hdf5", append([]byte("\x89HDF\r\n\x1a\n"), make([]byte, 600)...), []string{"version 7.3"}},
		{"truncated", good[:len(good)-3], []string{"should take", "truncated"}},
		{"truncated tag", good[:len(little().b)+4], []string{"an element's tag", "truncated"}},
		{"truncated compressed", squeezed.b[:len(squeezed.b)-3], []string{"should take", "truncated"}},
		{"checksum", checksum, []string{"invalid checksum", "fetch it again"}},
		{"not compressed", tagged(miCompressed, 8, 1, 2, 3, 4, 5, 6, 7, 8), []string{"zlib: invalid header"}},
		{"huge", tagged(miMatrix, 1<<31, 0, 0), []string{"a variable should take 2147483648 bytes"}},
		{"no y", x(little()).b, []string{"both variables X and y"}},
		{"shape", little().array("X", []int{28, 28, 3, 2}, 2, make([]byte, 28*28*6)).array("y", []int{1, 2}, 2, []byte{1, 2}).b, []string{"(X)", "[28 28 3 2]", "(32, 32, 3, N)"}},
		{"element type", little().array("X", []int{32, 32, 3, 1}, 4, make([]byte, 2*3072)).array("y", []int{1, 1}, 2, []byte{1}).b, []string{"(X)", "uint8"}},
		{"shape lies", lie([]int{32, 32, 3, 3}), []string{"(X)", "take 6144 bytes", "needs 9216"}},
		{"shape too small", lie([]int{32, 32, 3, 1}), []string{"take 6144 bytes", "needs 3072"}},
		{"shape impossible", lie([]int{1 << 30, 1 << 30, 1 << 30, 1 << 30}), []string{"is not possible"}},
		{"shape negative", lie([]int{32, 32, -3, 2}), []string{"is not possible"}},
		{"cell", little().add(miMatrix, little().variable("X", 1, []int{1, 1}, 2, []byte{1})).b, []string{"(X)", "not a real numeric array"}},
		{"complex", little().add(miMatrix, little().variable("X", 9|mxComplex, []int{1, 1}, 2, []byte{1})).b, []string{"not a real numeric array"}},
		{"appended", little().add(miMatrix, append(little().variable("X", 9, []int{1, 1}, 2, []byte{1}), 0, 0, 0, 0, 0, 0, 0, 0)).b, []string{"bytes follow"}},
		{"value type", little().array("X", []int{1, 1}, 8, []byte{1}).b, []string{"values have type 8"}},
		{"flags", little().add(miMatrix, little().element(6, make([]byte, 16))).b, []string{"array flags take 16 bytes"}},
		{"small", tagged(9<<16|1, 0), []string{"small element declares 9 bytes"}},
		{"labels", x(little()).array("y", []int{3, 1}, 2, []byte{1, 2, 3}).b, []string{"(y)", "[3 1] for 2 images"}},
		{"label 0", x(little()).array("y", []int{2, 1}, 2, []byte{1, 0}).b, []string{"(y)", "record 1", "label 0", "1..10"}},
		{"label 11", x(little()).array("y", []int{2, 1}, 2, []byte{11, 1}).b, []string{"record 0", "label 11"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := load("svhn:"+write(t, t.TempDir(), "x.mat", test.data), Options{})
			wantDataError(t, err, append(test.want, "x.mat")...)
		})
	}
}
