package dataset

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
)

// withMemory lets files take so many bytes during a test.
func withMemory(t *testing.T, share int64) {
	t.Helper()
	old := memoryShare
	memoryShare = func() int64 { return share }
	t.Cleanup(func() { memoryShare = old })
}

// pour is the gzip stream of so many bytes: a text over and over.
func pour(t *testing.T, text string, n int) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	piece := strings.Repeat(text, 1+1<<16/len(text))
	for done := 0; done < n; done += len(piece) {
		if _, err := io.WriteString(z, piece); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestEndless reads files that unpack to far more than they hold: they are refused
// once they have taken what they may, with little allocated beside.
func TestEndless(t *testing.T) {
	const share = 2 << 20
	withMemory(t, share)
	dir := t.TempDir()
	zeros := make([]byte, 16<<20)
	labels := write(t, dir, "labels", idx(8, []int{1 << 14}, make([]byte, 1<<14)...))
	var npz bytes.Buffer
	z := zip.NewWriter(&npz)
	for name, data := range map[string][]byte{
		"x.npy": npyFile("|u1", "False", "(16384, 1024)", zeros...), "y.npy": npyFile("|u1", "False", "(16384,)", zeros[:1<<14]...),
	} {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	m := newMAT(binary.LittleEndian)
	m.compress = true
	mat := m.array("X", []int{32, 32, 3, 1 << 12}, 2, zeros[:32*32*3<<12]).array("y", []int{1 << 12, 1}, 2, bytes.Repeat([]byte{1}, 1<<12)).b
	for _, test := range []struct {
		name, spec string
		want       string
	}{
		{"one line of zeros", "csv:" + write(t, dir, "zeros.csv.gz", pour(t, "\x00", maxLine+1<<20)), "a line is longer than 64 MiB"},
		{"one line of fields", "csv:" + write(t, dir, "fields.csv.gz", pour(t, "0,", maxLine)), "a line has more than 2097152 fields"},
		{"one quote", "csv:" + write(t, dir, "quote.csv.gz", append(pack([]byte("1,2,0\n1,\"")), pour(t, "a word\n", maxLine+1<<20)...)), "hold no example"},
		{"a line for ever", "csv:" + write(t, dir, "lines.csv.gz", pour(t, "1,2,3\n", 4<<20)), "limit=N"},
		{"classes for ever", "csv:" + write(t, dir, "long.csv.gz", pour(t, "1,2,3\n", 10<<20)) + ",limit=1", "name the classes"},
		{"classes told", "csv:" + filepath.Join(dir, "long.csv.gz") + ",limit=1,classes=3", ""},
		{"targets", "csv:" + filepath.Join(dir, "long.csv.gz") + ",limit=1,task=regression", ""},
		{"labels for ever", "csv:" + write(t, dir, "wide.csv.gz", pour(t, "1,\""+strings.Repeat("a", 1<<16)+"\"\n", 7<<20)) + ",limit=1", ""},
		{"idx", "idx:" + write(t, dir, "images.gz", pack(idx(8, []int{1 << 14, 32, 32}, zeros...))) + "," + labels, "unpacks to 16777216 bytes, more than a quarter of the memory (2 MiB)"},
		{"first of an idx", "idx:" + filepath.Join(dir, "images.gz") + "," + labels + ",limit=5", ""},
		{"first of an npz", "npz:" + filepath.Join(dir, "x.npz") + ",limit=5", ""},
		{"first of a mat", "svhn:" + filepath.Join(dir, "x.mat") + ",limit=5", ""},
		{"npz", "npz:" + write(t, dir, "x.npz", npz.Bytes()), "more than a quarter of the memory"},
		{"mat", "svhn:" + write(t, dir, "x.mat", mat), "more than a quarter of the memory"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := load(test.spec, Options{})
			runtime.ReadMemStats(&after)
			if test.want == "" {
				if err != nil {
					t.Fatal(err)
				}
			} else {
				wantDataError(t, err, test.want)
			}
			// The line and its copies while it grows.
			if n := after.TotalAlloc - before.TotalAlloc; n > 10*maxLine {
				t.Errorf("%s: %d MiB were allocated", filepath.Base(test.spec), n>>20)
			}
		})
	}
}

// TestClassesSought: where much memory is left, a packed file is still read no further
// for its classes than its own size allows.
func TestClassesSought(t *testing.T) {
	withMemory(t, 1<<30)
	path := write(t, t.TempDir(), "lines.csv.gz", pour(t, "1,2,3\n", 48<<20))
	_, err := load("csv:"+path+",limit=1", Options{})
	wantDataError(t, err, "name the classes")
	if _, err := load("csv:"+path+",limit=1,classes=3", Options{}); err != nil {
		t.Error(err)
	}
}

// TestLimitStreams keeps the examples asked for of a csv file that is larger than
// memory allows; the classes are those of all lines.
func TestLimitStreams(t *testing.T) {
	withMemory(t, 1<<20)
	path := write(t, t.TempDir(), "x.csv.gz", pack([]byte("1,2,b\n3,4,c\n"+strings.Repeat("5,6,c\n", 1<<18)+"7,8,a\n")))
	s := mustLoad(t, "csv:"+path+",limit=2", Options{})
	diff(t, "values", []float64{1, 2, 3, 4}, values(s))
	diff(t, "labels", []int{1, 2}, s.Labels())
	diff(t, "names", []string{"a", "b", "c"}, s.ClassNames())
}

// TestLimit reads the first examples of every packed form, and of arrays in both
// orders: they are those of the whole file, and so are the classes.
func TestLimit(t *testing.T) {
	dir := t.TempDir()
	const n = 9
	pixels := ramp(n * 32 * 32 * 3)
	labels := []byte{1, 2, 0, 1, 1, 2, 1, 2, 3}
	y := write(t, dir, "y.npy", npyFile("|u1", "False", "(9,)", labels...))
	var npz bytes.Buffer
	z := zip.NewWriter(&npz)
	for name, data := range map[string][]byte{
		"x.npy": npyFile("<i2", "True", "(9, 4, 3)", pixels[:n*24]...), "y.npy": npyFile("|u1", "False", "(1, 9)", labels...),
	} {
		w, err := z.Create(name)
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	mat := func(compress bool) []byte {
		m := newMAT(binary.BigEndian)
		m.compress = compress
		return m.array("y", []int{n, 1}, 2, bytes.ReplaceAll(labels, []byte{0}, []byte{10})).array("X", []int{32, 32, 3, n}, 2, pixels).b
	}
	for _, spec := range []string{
		"npy:" + write(t, dir, "c.npy", npyFile("<f4", "False", "(9, 2, 3)", make([]byte, n*24)...)) + "," + y,
		"npy:" + write(t, dir, "f.npy", npyFile("|u1", "True", "(9, 2, 3)", pixels[:n*6]...)) + "," + y,
		"npy:" + filepath.Join(dir, "f.npy") + "," + y + ",task=regression",
		"npz:" + write(t, dir, "x.npz", npz.Bytes()),
		"idx:" + write(t, dir, "x.gz", pack(idx(8, []int{n, 4, 5}, pixels[:n*20]...))) + "," + write(t, dir, "y.idx", idx(8, []int{n}, labels...)),
		"svhn:" + write(t, dir, "x.mat", mat(false)),
		"svhn:" + write(t, dir, "z.mat", mat(true)),
	} {
		whole := mustLoad(t, spec, Options{})
		for _, k := range []int{1, 4, 8, 9, 100} {
			part := mustLoad(t, fmt.Sprintf("%s,limit=%d", spec, k), Options{})
			k = min(k, n)
			diff(t, spec, values(whole)[:k*whole.Size()], values(part))
			diff(t, spec, whole.Classes(), part.Classes())
			if whole.Task() == Regression {
				for i := range k {
					diff(t, spec, whole.Target(i), part.Target(i))
				}
				continue
			}
			diff(t, spec, whole.Labels()[:k], part.Labels())
		}
	}
}

// TestSparse reads files whose data were never written: like packed ones they are
// refused where they promise too much, and with a limit cost what is asked for, the
// labels of the others included.
func TestSparse(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(25))
	const share = 2 << 20
	withMemory(t, share)
	dir := t.TempDir()
	hole := func(name string, head []byte, size int64) string {
		path := write(t, dir, name, head)
		if err := os.Truncate(path, int64(len(head))+size); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if onDisk(info) > share {
			t.Skip("the file system writes holes")
		}
		return path
	}
	const n = 1 << 24
	npy := hole("x.npy", npyFile("<f4", "False", fmt.Sprintf("(%d, 64)", n)), n*256) + "," +
		hole("y.npy", npyFile("<i8", "False", fmt.Sprintf("(%d,)", n)), n*8)
	idxs := hole("x", idx(8, []int{n, 8, 8}), n*64) + "," + hole("y", idx(8, []int{n}), n)
	hole("train.bin", nil, (1+cifarPixels)*n)
	for _, test := range []struct{ spec, want string }{
		{"npy:" + npy, "more than a quarter of the memory (2 MiB)"},
		{"npy:" + npy + ",limit=7", ""},
		{"npy:" + npy + ",limit=7,task=regression", ""},
		{"idx:" + idxs, "more than a quarter of the memory (2 MiB)"},
		{"idx:" + idxs + ",limit=7", ""},
		{"cifar10:" + dir, "more than a quarter of the memory (2 MiB)"},
		{"cifar10:" + dir + ",limit=7", ""},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := load(test.spec, Options{})
		runtime.ReadMemStats(&after)
		if test.want != "" {
			wantDataError(t, err, test.want)
		} else if err != nil {
			t.Errorf("%s: %v", test.spec, err)
		}
		// Buffers, and the labels piece by piece, with what is collected late; all labels would
		// take 256 MiB as numbers, all features 4 GiB.
		if n := after.HeapSys - before.HeapSys; after.HeapSys > before.HeapSys && n > 160<<20 {
			t.Errorf("%s: the heap grew by %d MiB", test.spec, n>>20)
		}
	}
}

// TestLabelsBeyondTheLimit: they tell the classes, and one that is none is an error.
func TestLabelsBeyondTheLimit(t *testing.T) {
	dir := t.TempDir()
	const n = 3*labelPiece + 5
	y := make([]byte, n)
	y[n-2] = 6
	x := write(t, dir, "x.npy", npyFile("|u1", "False", fmt.Sprintf("(%d, 1)", n), make([]byte, n)...))
	spec := "npy:" + x + "," + write(t, dir, "y.npy", npyFile("|i1", "False", fmt.Sprintf("(%d,)", n), y...)) + ",limit=3"
	diff(t, "classes", 7, mustLoad(t, spec, Options{}).Classes())
	y[n-1] = 0xff
	write(t, dir, "y.npy", npyFile("|i1", "False", fmt.Sprintf("(%d,)", n), y...))
	_, err := load(spec, Options{})
	wantDataError(t, err, fmt.Sprintf("record %d", n-1))
}
