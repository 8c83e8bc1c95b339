package dataset

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/sbinet/npyio/npy"
)

// npyFile writes a NumPy file of version 1.
func npyFile(descr, fortran, shape string, data ...byte) []byte {
	return npyRaw(fmt.Sprintf("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n", descr, fortran, shape), data...)
}

func npyRaw(header string, data ...byte) []byte {
	b := append([]byte("\x93NUMPY\x01\x00"), byte(len(header)), byte(len(header)>>8))
	return append(append(b, header...), data...)
}

// The archive comes from NumPy: x is a big-endian float32 array in Fortran
// order, element (i, j, k) being 100i + 10j + k.
func TestNPZFromNumPy(t *testing.T) {
	grid := func(from, to int) (want []float64) {
		for i := from; i < to; i++ {
			for j := range 2 {
				for k := range 3 {
					want = append(want, float64(100*i+10*j+k))
				}
			}
		}
		return want
	}
	s := mustLoad(t, "npz:testdata/fortran.npz", Options{})
	diff(t, "shape", []int{2, 3}, s.Shape())
	diff(t, "values", grid(0, 4), values(s))
	diff(t, "labels", []int{0, 1, 2, 0}, s.Labels())
	diff(t, "name", "npz fortran.npz", s.Name())

	s = mustLoad(t, "npz:testdata/fortran.npz,split=train", Options{})
	diff(t, "train values", grid(0, 3), values(s))
	diff(t, "targets", []float64{0.5, 1, 1, 2, 2, 4}, s.Targets())
	diff(t, "target", []float64{1, 2}, s.Target(1))
	diff(t, "task", Regression, s.Task())

	s = mustLoad(t, "npz:testdata/fortran.npz,split=test,scale=1", Options{})
	diff(t, "bytes", append(grid(1, 3), 44, 45, 46, 54, 55, 56), values(s)) // 300 mod 256
	diff(t, "booleans", []int{1, 0, 1}, s.Labels())
	s = mustLoad(t, "npz:testdata/fortran.npz,split=test", Options{})
	if got, want := values(s)[0], 100*(1./255); got != want {
		t.Errorf("bytes are pixels: got %v, want %v", got, want)
	}
}

// npyio's writer is independent of our reader.
func TestNPYTypes(t *testing.T) {
	labels := npyRaw("{'descr': '<i8', 'fortran_order': False, 'shape': (4,)}", make([]byte, 32)...)
	want := []float64{1, 2, 3, 4}
	for _, data := range []any{
		[]int8{1, 2, 3, 4},
		[]uint16{1, 2, 3, 4},
		[]int16{1, 2, 3, 4},
		[]uint32{1, 2, 3, 4},
		[]int32{1, 2, 3, 4},
		[]uint64{1, 2, 3, 4},
		[]int64{1, 2, 3, 4},
		[]float32{1, 2, 3, 4},
		[]float64{1, 2, 3, 4},
	} {
		var b bytes.Buffer
		if err := npy.Write(&b, data); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		x, y := write(t, dir, "x.npy", b.Bytes()), write(t, dir, "y.npy", labels)
		diff(t, fmt.Sprintf("%T", data), want, values(mustLoad(t, "npy:"+x+","+y, Options{})))
	}
}

func TestNPYTasks(t *testing.T) {
	floats := func(v ...float64) []byte {
		var b []byte
		for _, v := range v {
			b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
		}
		return b
	}
	dir := t.TempDir()
	x := write(t, dir, "x", npyFile("|u1", "False", "(2,)", 1, 2))
	for _, test := range []struct {
		name, option string
		y            []byte
		opt          Options
		labels       []int
		targets      []float64
	}{
		{name: "float", y: npyFile("<f8", "False", "(2,)", floats(1, 3)...), targets: []float64{1, 3}},
		{name: "float as class", y: npyFile("<f8", "False", "(2, 1)", floats(1, 3)...), option: ",task=class", labels: []int{1, 3}},
		{name: "caller's class", y: npyFile("<f8", "False", "(1, 2)", floats(1, 3)...), opt: Options{Task: Classification}, labels: []int{1, 3}},
		{name: "spec beats caller", y: npyFile("|u1", "False", "(2,)", 1, 3), option: ",task=regression", opt: Options{Task: Classification}, targets: []float64{1, 3}},
		{name: "rows", y: npyFile("|i1", "True", "(2, 2)", 1, 2, 3, 4), targets: []float64{1, 3, 2, 4}},
	} {
		t.Run(test.name, func(t *testing.T) {
			y := write(t, t.TempDir(), "y", test.y)
			s := mustLoad(t, "npy:"+x+","+y+test.option, test.opt)
			diff(t, "labels", test.labels, s.Labels())
			diff(t, "targets", test.targets, s.Targets())
			diff(t, "shape", []int{1}, s.Shape())
		})
	}
}

func TestNPYErrors(t *testing.T) {
	labels := npyFile("<i4", "False", "(2,)", 1, 0, 0, 0, 2, 0, 0, 0)
	x := npyFile("|u1", "False", "(2, 3)", 1, 2, 3, 4, 5, 6)
	inf := npyFile("<f4", "False", "(2, 2)", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80, 0x7f)
	for _, test := range []struct {
		name string
		x, y []byte
		want []string
	}{
		{"empty", nil, labels, []string{"x.npy", "the NumPy header", "truncated"}},
		{"magic", bytes.Repeat([]byte("a"), 100), labels, []string{"NumPy header cannot be read", "numpy.save"}},
		{"version", append([]byte("\x93NUMPY\x03\x00\x02\x00\x00\x00{}"), 0), labels, []string{"invalid major version number (3)"}},
		{"header too long", []byte("\x93NUMPY\x02\x00\xff\xff\xff\x7f{}"), labels, []string{"NumPy header cannot be read"}},
		{"header cut", x[:20], labels, []string{"NumPy header should take", "truncated"}},
		{"no shape", npyRaw("{'descr': '|u1', 'fortran_order': False}"), labels, []string{"invalid dictionary format"}},
		{"empty dictionary", npyRaw(""), labels, []string{"invalid dictionary format"}},
		{"keys turned", npyRaw("{'shape': (2,), 'fortran_order': False, 'descr': '|u1'}\n"), labels, []string{"NumPy header cannot be read"}},
		{"object", npyFile("|O", "False", "(2,)"), labels, []string{`element type "|O"`, "astype"}},
		{"half", npyFile("<f2", "False", "(2,)", 0, 0, 0, 0), labels, []string{`"<f2"`, "astype('float32')"}},
		{"scalar", npyFile("|u1", "False", "()", 1), labels, []string{"single number"}},
		{"truncated", x[:len(x)-1], labels, []string{"shape [2 3]", "6 bytes", "truncated"}},
		{"trailing", append(bytes.Clone(x), 0), labels, []string{"bytes follow"}},
		{"huge", npyFile("<f8", "False", "(1000000000, 1000000000)"), labels, []string{"should take 8000000000000000000 bytes", "truncated"}},
		{"overflow", npyFile("<f8", "False", "(1000000000, 1000000000, 1000000000)"), labels, []string{"is not possible"}},
		{"negative", npyFile("<f8", "False", "(-1, 3)"), labels, []string{"[-1 3] is not possible"}},
		{"no examples", npyFile("|u1", "False", "(0, 3)"), labels, []string{"[0 3] holds no values"}},
		{"no examples by columns", npyFile("|u1", "True", "(0, 1000000000000000)"), labels, []string{"[0 1000000000000000] holds no values"}},
		{"no values by columns", npyFile("|u1", "True", "(2, 1000000000000000, 0)"), labels, []string{"[2 1000000000000000 0] holds no values"}},
		{"infinite", inf, labels, []string{"x.npy", "record 1, column 1", "+Inf"}},
		{"beyond float32", npyFile("<f8", "False", "(1, 1)", 0, 0, 0, 0, 0, 0, 0, 0x7f), labels, []string{"single precision"}},
		{"count", x, npyFile("|u1", "False", "(3,)", 1, 2, 3), []string{"y.npy", "3 labels for the 2 examples of", "x.npy"}},
		{"scalar label", x, npyFile("|u1", "False", "()", 1), []string{"0 labels for the 2"}},
		{"negative label", x, npyFile("|i1", "False", "(2,)", 1, 255), []string{"y.npy", "record 1", "label -1", "task=regression"}},
		{"big label", x, npyFile("<i4", "False", "(2,)", 0, 0, 1, 0, 0, 0, 0, 0), []string{"record 0", "label 65536"}},
		{"NaN target", x, npyFile("<f4", "False", "(2, 1)", 0, 0, 0, 0, 0, 0, 0xc0, 0x7f), []string{"y.npy", "record 1, target 0", "NaN"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := load("npy:"+write(t, dir, "x.npy", test.x)+","+write(t, dir, "y.npy", test.y), Options{})
			wantDataError(t, err, test.want...)
		})
	}
	t.Run("one-hot", func(t *testing.T) {
		dir := t.TempDir()
		y := write(t, dir, "y.npy", npyFile("|u1", "False", "(2, 2)", 1, 0, 0, 1))
		_, err := load("npy:"+write(t, dir, "x.npy", x)+","+y+",task=class", Options{})
		wantDataError(t, err, "y.npy", "2 numbers an example", "argmax")
	})
}

// archive writes a zip file of stored members.
func archive(members map[string][]byte) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, data := range members {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			panic(err)
		}
	}
	if err := z.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// A packed stream can declare far more than it holds and still be within what
// packing achieves; memory must follow what comes, not what is declared.
func TestDeclaredSizesAreNotBelieved(t *testing.T) {
	noise := make([]byte, 100<<10)
	pcg := rand.NewPCG(1, 2)
	for i := range noise {
		noise[i] = byte(pcg.Uint64())
	}
	const declared = 100 << 20
	member := npyFile("|u1", "False", fmt.Sprintf("(1, %d)", declared), noise...)
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.CreateRaw(&zip.FileHeader{Name: "x.npy", CompressedSize64: uint64(len(member)), UncompressedSize64: 1 << 40})
	if err == nil {
		_, err = w.Write(member)
	}
	if err == nil {
		_, err = z.Create("y.npy")
	}
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, spec := range []string{
		"idx:" + write(t, dir, "x.gz", pack(idx(8, []int{1, declared}, noise...))) + ",y",
		"npz:" + write(t, dir, "x.npz", b.Bytes()),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := load(spec, Options{})
		runtime.ReadMemStats(&after)
		wantDataError(t, err, "should take 104857600 bytes", "the file ends after")
		if got := after.TotalAlloc - before.TotalAlloc; got > 8<<20 {
			t.Errorf("%s: %d bytes allocated for a file of %d", spec, got, len(noise))
		}
	}
}

// TestNPZNames: arrays of any names are examples and labels.
func TestNPZNames(t *testing.T) {
	x, y := npyFile("|u1", "False", "(2, 1)", 77, 78), npyFile("|u1", "False", "(2,)", 0, 1)
	path := write(t, t.TempDir(), "x.npz", archive(map[string][]byte{"Images.npy": x, "labels.npy": y, "images.npy": y}))
	s := mustLoad(t, "npz:"+path+",x=Images,y=labels,scale=1", Options{})
	diff(t, "values", []float64{77, 78}, values(s))
	diff(t, "labels", []int{0, 1}, s.Labels())
	diff(t, "split", Split(""), s.Split())
	s = mustLoad(t, "npz:"+path+",x=Images,y=labels,split=test", Options{})
	diff(t, "split", Test, s.Split())
	_, err := load("npz:"+path+",x=pictures,y=labels", Options{})
	wantDataError(t, err, "the archive holds", "Images", "want pictures and labels", "x=NAME")
}

func TestNPZErrors(t *testing.T) {
	x, y := npyFile("|u1", "False", "(2, 1)", 77, 78), npyFile("|u1", "False", "(2,)", 0, 1)
	flipped := bytes.Replace(archive(map[string][]byte{"x.npy": x, "y.npy": y}), []byte{77, 78}, []byte{77, 79}, 1)
	for _, test := range []struct {
		name   string
		data   []byte
		option string
		want   []string
	}{
		{"no archive", []byte("text"), "", []string{"not a NumPy archive", "numpy.savez"}},
		{"no y", archive(map[string][]byte{"x.npy": x}), "", []string{"holds x, want x and y, or x_train and y_train"}},
		{"no split", archive(map[string][]byte{"x.npy": x, "y.npy": y}), ",split=test", []string{"want x_test and y_test"}},
		{"nothing", archive(nil), "", []string{"holds nothing"}},
		{"checksum", flipped, "", []string{"x.npz (x.npy)", "checksum error"}},
		{"truncated", archive(map[string][]byte{"x.npy": x[:len(x)-1], "y.npy": y}), "", []string{"(x.npy)", "truncated"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := load("npz:"+write(t, t.TempDir(), "x.npz", test.data)+test.option, Options{})
			wantDataError(t, err, test.want...)
		})
	}
	var d *DataError
	_, err := load("npz:"+write(t, t.TempDir(), "x.npz", flipped), Options{})
	if !errors.As(err, &d) || !errors.Is(err, zip.ErrChecksum) {
		t.Errorf("got %v, want zip.ErrChecksum behind it", err)
	}
}
