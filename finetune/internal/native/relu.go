package native

import (
	"unsafe"

	"github.com/relupath/relupath/finetune/internal/program"
)

// gate zeroes d where y, the result of a ReLU, is zero. y is not negative, so
// that it is zero if and only if its bits are; a branch on it would be
// mispredicted half of the time.
func gate[T program.Float](d, y []T) {
	d = d[:len(y)]
	if len(y) == 0 {
		return
	}
	if unsafe.Sizeof(y[0]) == 4 {
		db := unsafe.Slice((*uint32)(unsafe.Pointer(&d[0])), len(d))
		yb := unsafe.Slice((*uint32)(unsafe.Pointer(&y[0])), len(y))
		for j, b := range yb {
			db[j] &= uint32(-int32(b) >> 31)
		}
		return
	}
	db := unsafe.Slice((*uint64)(unsafe.Pointer(&d[0])), len(d))
	yb := unsafe.Slice((*uint64)(unsafe.Pointer(&y[0])), len(y))
	for j, b := range yb {
		db[j] &= uint64(-int64(b) >> 63)
	}
}
