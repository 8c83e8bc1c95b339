package dataset

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// plain bounds the memory a byte of input may take: it can be a csv label of
// its own, with a text, a number, a class name and their places in two maps.
// Packed input may unpack to inflation times its size.
const plain = 300

// bounded runs f and fails if it allocated more than factor bytes for each of
// data; the constant part is buffers, a first piece and the decompressor.
func bounded(t *testing.T, data []byte, factor int, f func()) {
	t.Helper()
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		factor *= inflation
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if got, most := after.TotalAlloc-before.TotalAlloc, uint64(4<<20+factor*len(data)); got > most {
		t.Errorf("%d bytes of input allocated %d, want at most %d", len(data), got, most)
	}
}

// sound checks what a reader promises about a table, or about its error.
func sound(t *testing.T, tab *table, err error) {
	t.Helper()
	if err != nil {
		var d *DataError
		if !errors.As(err, &d) || d.Problem == "" {
			t.Errorf("got %T %v, want a *DataError with a problem", err, err)
		}
		return
	}
	norm, err := tab.normaliser(Spec{})
	if err != nil {
		t.Fatal(err)
	}
	s := newSet(tab, norm)
	if s.Len() == 0 || s.Size() == 0 {
		t.Fatalf("%d examples of %d values", s.Len(), s.Size())
	}
	x := make([]float32, s.Size())
	for i := range s.Len() {
		s.Batch32(x, []int{i})
		for j, v := range x {
			if !usable(float64(v)) {
				t.Fatalf("example %d, value %d is %v", i, j, v)
			}
		}
		if s.Task() == Regression {
			s.Target(i)
		} else if label := s.Labels()[i]; label < 0 || label >= s.Classes() {
			t.Fatalf("example %d has label %d of %d classes", i, label, s.Classes())
		}
	}
}

// fuzzSource reads the bytes of a fuzzer.
func fuzzSource(data []byte) (*source, error) {
	return newSource(context.Background(), "fuzz", bytes.NewReader(data), int64(len(data)))
}

// fuzzArray takes an array for examples and for their labels.
func fuzzArray(t *testing.T, data []byte, read func(*source) (*array, error)) {
	bounded(t, data, plain, func() {
		var tab *table
		s, err := fuzzSource(data)
		if err == nil {
			var a *array
			if a, err = read(s); err == nil {
				tab, err = pair(a, a, Spec{})
			}
		}
		sound(t, tab, err)
	})
}

func FuzzIDX(f *testing.F) {
	f.Add(idx(8, []int{3, 2, 2}, ramp(12)...))
	f.Add(pack(idx(8, []int{3}, ramp(3)...)))
	f.Add(idx(0x0D, []int{1, 2}, 0x3f, 0x80, 0, 0, 0xc0, 0x20, 0, 0))
	f.Add(pack(idx(0x0E, []int{1 << 30, 28, 28})))
	f.Fuzz(func(t *testing.T, data []byte) { fuzzArray(t, data, readIDX) })
}

func FuzzNPY(f *testing.F) {
	f.Add(npyFile("|u1", "True", "(2, 2, 1)", 1, 2, 3, 4))
	f.Add(npyFile("<i2", "False", "(2,)", 1, 0, 3, 0))
	f.Add(npyFile(">f8", "False", "(1000000000, 1000000000)"))
	f.Fuzz(func(t *testing.T, data []byte) { fuzzArray(t, data, readNPY) })
}

func FuzzMAT(f *testing.F) {
	data, err := os.ReadFile("testdata/svhn_compressed.mat")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	small := newMAT(binary.BigEndian).array("X", []int{2, 2}, 2, ramp(4)).add(1, []byte("text"))
	f.Add(slices.Clone(small.b))
	small.compress = true
	f.Add(small.array("y", []int{1, 1}, 9, make([]byte, 8)).b)
	f.Fuzz(func(t *testing.T, data []byte) {
		bounded(t, data, plain*inflation, func() {
			s, err := fuzzSource(data)
			var tab *table
			if err == nil {
				tab, err = readSVHN(s)
			}
			sound(t, tab, err)
		})
	})
}

func FuzzCSV(f *testing.F) {
	f.Add([]byte("a,b,c\n1,2.5,0\n3,4,1\n"), ",header")
	f.Add([]byte("1,x\n2,\"y,z\"\n"), ",task=class")
	f.Add(pack([]byte("1,0.5\n2,1e3\n")), ",label=0")
	f.Fuzz(func(t *testing.T, data []byte, options string) {
		spec, err := Parse("csv:fuzz" + options)
		if err != nil {
			return
		}
		bounded(t, data, plain, func() {
			s, err := fuzzSource(data)
			var tab *table
			if err == nil {
				tab, err = readCSV(s, spec)
			}
			sound(t, tab, err)
		})
	})
}

// A spec that parses comes back from its text.
func FuzzSpec(f *testing.F) {
	f.Add("mnist:data,split=test,limit=1000,scale=1/255")
	f.Add("idx:a,,b,c,mean=1/2/3,std=4,transpose")
	f.Add("csv:x.csv,header,label=a=b,task=regression")
	f.Add("csv:x.csv,sep=;,drop=a;;b;c")
	f.Fuzz(func(t *testing.T, text string) {
		spec, err := Parse(text)
		if err != nil {
			var e *SpecError
			if !errors.As(err, &e) || e.Remedy == "" {
				t.Fatalf("got %v, want a *SpecError with a remedy", err)
			}
			return
		}
		again, err := Parse(spec.String())
		if err != nil {
			t.Fatalf("%q comes back as %q: %v", text, spec, err)
		}
		if d := cmp.Diff(spec, again); d != "" {
			t.Fatalf("%q comes back as %q (-want +got):\n%s", text, spec, d)
		}
	})
}
