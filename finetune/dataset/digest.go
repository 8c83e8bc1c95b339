package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math"
)

// Digest identifies the examples by content: the SHA-256, in hexadecimal, of
// every value, label and target in their order, of the shape and of the
// normalisation. The name does not count.
func (s *Set) Digest() string {
	h := sha256.New()
	fmt.Fprintln(h, s.n, s.shape, s.classes, s.width, s.norm)
	for i := range s.n {
		if s.rows != nil {
			i = s.rows[i]
		}
		from, to := i*s.size, (i+1)*s.size
		switch {
		case s.x.u8 != nil:
			h.Write(s.x.u8[from:to])
		case s.x.f32 != nil:
			sum(h, s.x.f32[from:to], func(b []byte, v float32) []byte { return binary.LittleEndian.AppendUint32(b, math.Float32bits(v)) })
		default:
			sum(h, s.x.f64[from:to], appendFloat)
		}
	}
	sum(h, s.labels, func(b []byte, y int) []byte { return binary.LittleEndian.AppendUint64(b, uint64(y)) })
	sum(h, s.targets, appendFloat)
	return hex.EncodeToString(h.Sum(nil))
}

func appendFloat(b []byte, v float64) []byte {
	return binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
}

// sum hashes numbers, piece by piece.
func sum[T any](h hash.Hash, values []T, appendTo func([]byte, T) []byte) {
	b := make([]byte, 0, 1<<12)
	for _, v := range values {
		if b = appendTo(b, v); len(b) > 1<<12-8 {
			h.Write(b)
			b = b[:0]
		}
	}
	h.Write(b)
}
