package dataset

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// write stores a file in a folder of the test and returns its path.
func write(t testing.TB, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// load parses a spec and reads what it names.
func load(spec string, opt Options) (*Set, error) {
	s, err := Parse(spec)
	if err != nil {
		return nil, err
	}
	return Load(context.Background(), s, opt)
}

// mustLoad is load where no error is expected.
func mustLoad(t testing.TB, spec string, opt Options) *Set {
	t.Helper()
	s, err := load(spec, opt)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// wantDataError checks that err is a *DataError with every part in its text.
func wantDataError(t *testing.T, err error, parts ...string) {
	t.Helper()
	var d *DataError
	if !errors.As(err, &d) {
		t.Fatalf("got %v, want a *DataError", err)
	}
	if d.Remedy == "" && d.Err == nil {
		t.Errorf("no remedy: %v", err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got %q, want %q in it", err, part)
		}
	}
}

// values are all examples, in double precision.
func values(s *Set) []float64 {
	order := make([]int, s.Len())
	for i := range order {
		order[i] = i
	}
	x := make([]float64, s.Len()*s.Size())
	s.Batch64(x, order)
	return x
}

// diff reports a difference.
func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// pack is the gzip stream of data.
func pack(data []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write(data)
	if err := errors.Join(err, z.Close()); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// idx writes an IDX file of the type code given.
func idx(code byte, shape []int, data ...byte) []byte {
	b := []byte{0, 0, code, byte(len(shape))}
	for _, d := range shape {
		b = binary.BigEndian.AppendUint32(b, uint32(d))
	}
	return append(b, data...)
}

// ramp is n bytes 0, 1, 2...
func ramp(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}
