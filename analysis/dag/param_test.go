package dag

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A scaled Param is the stored value times its row's and its column's factor:
// in every layout, read whole, one by one, or in pieces of raw bytes that begin
// and end anywhere.
func TestScaledParam(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for _, typ := range []DType{Float32, Float64, Float16, BFloat16} {
		for _, l := range []struct{ rows, cols, kernel, groups int }{
			{1, 1, 1, 1}, {3, 40, 1, 1}, {4, 5, 9, 1}, {4, 3, 20, 2}, {6, 1, 1, 1}, {2, 0, 1, 1},
		} {
			n := l.rows * l.cols * l.kernel
			v := make([]float64, n)
			for i := range v {
				v[i] = rng.NormFloat64()
			}
			var base *Param
			if typ == Float64 {
				base = NewParam64("w", []int{n}, v)
			} else {
				base = NewParam32("w", typ, []int{n}, make([]float32, n)).WithValues(nil, v)
			}
			a, b := make([]float64, l.rows), make([]float64, l.groups*l.cols)
			for i := range a {
				a[i] = math.Exp(rng.NormFloat64())
			}
			for i := range b {
				b[i] = math.Exp(rng.NormFloat64())
			}
			for k, s := range []*scaling{{a: a, b: b}, {a: a}, {b: b}, {}} {
				s.base, s.B, s.K, s.groups = base, l.cols, l.kernel, l.groups
				p := s.param()
				want := base.Values()
				for i := range want {
					row, j := i/(l.cols*l.kernel), i/l.kernel%l.cols
					f := 1.0
					if s.a != nil {
						f = a[row]
					}
					if s.b != nil {
						f *= b[row/(l.rows/l.groups)*l.cols+j]
					}
					if typ == Float64 {
						want[i] *= f
					} else {
						want[i] = float64(round(typ, f*want[i]))
					}
				}
				raw := p.AppendRaw([]byte{7}, 0, n)[1:]
				var pieces []byte
				for lo := 0; lo < n; {
					hi := min(n, lo+1+rng.IntN(n))
					pieces = p.AppendRaw(pieces, lo, hi)
					lo = hi
				}
				if !bytes.Equal(raw, pieces) {
					t.Errorf("%v %v scaling %d: pieces differ from the whole", typ, l, k)
				}
				if d := cmp.Diff(want, append([]float64{}, p.Values()...)); d != "" {
					t.Errorf("%v %v scaling %d: %s", typ, l, k, d)
				}
				if d := cmp.Diff(want, decode(typ, raw)); d != "" {
					t.Errorf("%v %v scaling %d, raw: %s", typ, l, k, d)
				}
				if p.Origin() != base.Origin() || p == base {
					t.Errorf("%v: origin lost", typ)
				}
			}
		}
	}
}

func decode(typ DType, raw []byte) []float64 {
	out := make([]float64, len(raw)/typ.Size())
	for i := range out {
		b := raw[i*typ.Size():]
		switch typ {
		case Float64:
			out[i] = math.Float64frombits(binary.LittleEndian.Uint64(b))
		case Float32:
			out[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
		case Float16:
			out[i] = float64(Float16ToFloat32(binary.LittleEndian.Uint16(b)))
		case BFloat16:
			out[i] = float64(BFloat16ToFloat32(binary.LittleEndian.Uint16(b)))
		}
	}
	return out
}

// The largest magnitude is found at any place and in any part of a tensor, also
// among the values of an edited Param; NaN and infinities are not finite.
func TestParamMaxAbs(t *testing.T) {
	for _, n := range []int{1, 40, 1<<19 + 3} {
		zeros := make([]float64, n)
		p, q := NewParam64("w", []int{n}, zeros), NewParam32("w", Float32, []int{n}, make([]float32, n))
		if !p.Finite() || !q.Finite() || p.MaxAbs(2) != 0 {
			t.Fatal("zeros are not finite")
		}
		for at := 0; at < n; at += max(1, n/40) {
			for _, x := range []float64{-3, math.Inf(-1), math.NaN()} {
				v := slices.Clone(zeros)
				v[at] = x
				for _, p := range []*Param{NewParam64("w", []int{n}, v), q.WithValues(nil, v)} {
					for range 2 {
						got := p.MaxAbs(2)
						if !(got == -x || got != got && x != x) || p.Finite() != (x == -3) {
							t.Errorf("%v at %d of %d: %v, finite %v", x, at, n, got, p.Finite())
						}
					}
				}
			}
		}
	}
}
