package command

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sbinet/npyio/npy"
	"gonum.org/v1/gonum/mat"
	"pgregory.net/rapid"
)

func TestNPYRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := &array{shape: rapid.SliceOfN(rapid.IntRange(0, 4), 0, 4).Draw(t, "shape")}
		n := 1
		for _, d := range a.shape {
			n *= d
		}
		a.data = make([]float64, n)
		for i := range a.data {
			a.data[i] = float64(rapid.IntRange(-100, 100).Draw(t, "x"))
		}
		for _, element := range []string{"float32", "float64", "int64"} {
			var b bytes.Buffer
			if err := writeNPY(&b, a, element); err != nil {
				t.Fatal(err)
			}
			if n > 0 && (b.Len()-n*map[string]int{"float32": 4, "float64": 8, "int64": 8}[element])%64 != 0 {
				t.Fatalf("the data do not begin on a multiple of 64: %d bytes", b.Len())
			}
			got, err := readNPY("x.npy", b.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if !cmp.Equal(a.data, got.data) || len(a.shape) > 0 && !cmp.Equal(a.shape, got.shape) {
				t.Fatalf("%s: wrote %v, read %v", element, a, got)
			}
		}
	})
}

// TestNPYAgainstLibrary reads what another implementation writes, and the other
// way round.
func TestNPYAgainstLibrary(t *testing.T) {
	for name, v := range map[string]any{
		"float64": []float64{0, 1, 2}, "float32": []float32{0, 1, 2}, "int32": []int32{0, 1, 2},
		"uint8": []uint8{0, 1, 2}, "int64": []int64{0, 1, 2}, "int8": []int8{0, 1, 2}, "uint16": []uint16{0, 1, 2},
		"int16": []int16{0, 1, 2}, "uint32": []uint32{0, 1, 2}, "uint64": []uint64{0, 1, 2},
	} {
		var b bytes.Buffer
		if err := npy.Write(&b, v); err != nil {
			t.Fatal(err)
		}
		got, err := readNPY("x.npy", b.Bytes())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want := &array{shape: []int{3}, data: []float64{0, 1, 2}}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(array{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	var b bytes.Buffer
	if err := writeNPY(&b, &array{shape: []int{2, 3}, data: []float64{1, 2, 3, 4, 5, 6}}, "float64"); err != nil {
		t.Fatal(err)
	}
	var m mat.Dense
	if err := npy.Read(&b, &m); err != nil {
		t.Fatal(err)
	}
	if want := mat.NewDense(2, 3, []float64{1, 2, 3, 4, 5, 6}); !mat.Equal(want, &m) {
		t.Errorf("the library reads %v", mat.Formatted(&m))
	}
}

// TestReadNPYLayouts reads files as NumPy writes them: np.save of
// np.asfortranarray([[0, 1, 2], [3, 4, 5]]), and of '>f2'.
func TestReadNPYLayouts(t *testing.T) {
	for name, c := range map[string]struct {
		raw  []byte
		want []float64
	}{
		"fortran":  {npyFile("{'descr': '|i1', 'fortran_order': True, 'shape': (2, 3), }          \n", "\x00\x03\x01\x04\x02\x05"), []float64{0, 1, 2, 3, 4, 5}},
		"big half": {npyFile("{'descr': '>f2', 'fortran_order': False, 'shape': (2, 3), }\n", "\x00\x00\x3c\x00\x40\x00\xc2\x00\x00\x00\x00\x00"), []float64{0, 1, 2, -3, 0, 0}},
	} {
		got, err := readNPY("x.npy", c.raw)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&array{shape: []int{2, 3}, data: c.want}, got, cmp.AllowUnexported(array{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func npyFile(header, data string) []byte {
	return []byte("\x93NUMPY\x01\x00" + string([]byte{byte(len(header)), 0}) + header + data)
}

func TestReadNPYRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		raw  []byte
		want string
	}{
		"empty":       {nil, "not a NumPy file"},
		"npz":         {[]byte("PK\x03\x04..."), "numpy.load(FILE)[NAME]"},
		"text":        {[]byte("1,2,3\n"), "not a NumPy file"},
		"no newline":  {npyFile("{'descr': '<f8'", ""), "want a plain array"},
		"huge shape":  {npyFile("{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 9), }\n", "x"), "more than the file"},
		"overflow":    {npyFile("{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296), }\n", "x"), "more than the file"},
		"cut":         {npyFile("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }\n", "12345678"), "x.npy"},
		"complex":     {npyFile("{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }\n", "12345678"), "save it as float32"},
		"negative":    {npyFile("{'descr': '<f8', 'fortran_order': False, 'shape': (-2,), }\n", "12345678"), "x.npy"},
		"bad integer": {npyFile("{'descr': '<f8', 'fortran_order': False, 'shape': (a,), }\n", "12345678"), "x.npy"},
	} {
		got, err := readNPY("x.npy", c.raw)
		if err == nil || !strings.Contains(err.Error(), c.want) || codeOf(err) != codeInvalid {
			t.Errorf("%s: %v, %v; want an error with %q and exit code 3", name, got, err, c.want)
		}
	}
}

func FuzzReadNPY(f *testing.F) {
	var b bytes.Buffer
	if err := npy.Write(&b, []float32{1, 2, 3}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, err := readNPY("x.npy", raw)
		if err == nil && len(a.data) > len(raw) {
			t.Errorf("%d values from %d bytes", len(a.data), len(raw))
		}
	})
}
