package write

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis/dag"
)

// ramp returns an edited Param of n numbers.
func ramp(typ dag.DType, n int) *dag.Param {
	v := make([]float64, n)
	for i := range v {
		v[i] = float64(i%251) - 100
	}
	if typ == dag.Float64 {
		return dag.NewParam64("w", []int{n}, make([]float64, n)).WithValues(nil, v)
	}
	return dag.NewParam32("w", typ, []int{n}, make([]float32, n)).WithValues(nil, v)
}

// A payload is the stored bytes, wherever it begins in the file and its blocks
// cut its numbers.
func TestPayload(t *testing.T) {
	for _, typ := range []dag.DType{dag.Float32, dag.Float64, dag.Float16, dag.BFloat16} {
		for _, n := range []int{0, 1, 100, block/typ.Size() - 1, 2*block/typ.Size() + 7} {
			p := ramp(typ, n)
			want := p.AppendRaw(nil, 0, n)
			for _, at := range []int64{0, 1, 203, block - 3, 3*block + 5} {
				var got bytes.Buffer
				if err := payload(p)(&got, at); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got.Bytes(), want) {
					t.Errorf("%d of %v at %d: other bytes", n, typ, at)
				}
			}
		}
	}
}

// blocks fails the test on a write that does not end at a round offset, unless it
// is the last.
type blocks struct {
	at, end int64
	t       *testing.T
}

func (b *blocks) Write(p []byte) (int, error) {
	if b.at += int64(len(p)); b.at%block != 0 && b.at != b.end {
		b.t.Errorf("a write ends at %d", b.at)
	}
	return len(p), nil
}

func TestPayloadWritesBlocks(t *testing.T) {
	const n, at = 3 * block / 4, 203
	w := &blocks{at, at + 4*n, t}
	if err := payload(ramp(dag.Float32, n))(w, at); err != nil || w.at != w.end {
		t.Errorf("%v, at %d, want %d", err, w.at, w.end)
	}
}

// Of several numbers that are not finite the first is named, whichever goroutine
// meets its own first.
func TestPayloadNotFinite(t *testing.T) {
	for _, typ := range []dag.DType{dag.Float32, dag.Float64, dag.Float16, dag.BFloat16} {
		n := 4 * block / typ.Size()
		for _, bad := range []int{0, n/4 - 1, n / 4, n/2 + 1, n - 1} {
			for _, x := range []float64{math.Inf(-1), math.NaN()} {
				v := ramp(typ, n).Values()
				for k := bad; k < n; k += n / 4 {
					v[k] = x
				}
				err := payload(ramp(typ, n).WithValues(nil, v))(io.Discard, 203)
				if want := fmt.Sprintf("value %d of \"w\" is not finite in %v", bad, typ); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%v: %v, want %q", x, err, want)
				}
			}
		}
	}
}

type failing struct{ after int }

var errDisk = errors.New("disk on fire")

func (f *failing) Write(p []byte) (int, error) {
	if f.after--; f.after < 0 {
		return 0, errDisk
	}
	return len(p), nil
}

func TestPayloadWriteFails(t *testing.T) {
	p := ramp(dag.Float32, block)
	for after := range 4 {
		if err := payload(p)(&failing{after}, 0); !errors.Is(err, errDisk) {
			t.Errorf("failure of write %d: %v", after, err)
		}
	}
}
