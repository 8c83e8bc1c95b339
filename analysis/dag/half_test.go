package dag

import (
	"math"
	"testing"
)

// Every binary16 and bfloat16 pattern survives widening and rounding, and a
// float32 halfway between two neighbours goes to the even one.
func TestHalfRoundTrip(t *testing.T) {
	for i := range 1 << 16 {
		h := uint16(i)
		if f := Float16ToFloat32(h); !math.IsNaN(float64(f)) {
			if got := Float32ToFloat16(f); got != h {
				t.Fatalf("binary16 %#04x -> %v -> %#04x", h, f, got)
			}
			if n := Float16ToFloat32(h + 1); h&0x7fff < 0x7bff {
				mid := (float64(f) + float64(n)) / 2
				want := h + h&1
				if got := Float32ToFloat16(float32(mid)); got != want {
					t.Fatalf("halfway %v: got %#04x want %#04x", mid, got, want)
				}
			}
		}
		if f := BFloat16ToFloat32(h); !math.IsNaN(float64(f)) {
			if got := Float32ToBFloat16(f); got != h {
				t.Fatalf("bfloat16 %#04x -> %v -> %#04x", h, f, got)
			}
		}
	}
	for _, c := range []struct {
		x    float32
		want uint16
	}{{65519, 0x7bff}, {65520, 0x7c00}, {float32(math.Inf(-1)), 0xfc00}, {0x1p-25, 0}, {0x1.8p-25, 1}, {1, 0x3c00}} {
		if got := Float32ToFloat16(c.x); got != c.want {
			t.Errorf("Float32ToFloat16(%v) = %#04x, want %#04x", c.x, got, c.want)
		}
	}
}
