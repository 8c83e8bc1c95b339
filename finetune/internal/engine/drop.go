package engine

import (
	"math/rand/v2"

	"github.com/relupath/relupath/finetune/internal/program"
)

// Drop draws the dropout mask of one operation in one step: 0 with the given
// probability, rounded to 1/65536, else the reciprocal of the share that stays,
// so that the mean stays (inverted dropout; Srivastava et al., Dropout, JMLR
// 2014, section 10). The bits are those of PCG-DXSM with state (seed, step and
// operation), sixteen a number.
func Drop[T program.Float](mask []T, rate float64, seed, step uint64, op int) {
	limit, kept := threshold(rate)
	keep := T(kept)
	var pcg rand.PCG
	pcg.Seed(seed, step<<16|uint64(op))
	var bits uint64
	for j := range mask {
		if j&3 == 0 {
			bits = pcg.Uint64()
		}
		mask[j] = keep
		if bits&0xffff < limit {
			mask[j] = 0
		}
		bits >>= 16
	}
}

// threshold returns below which of 2^16 numbers a unit is left out, and what the
// others are multiplied by.
func threshold(rate float64) (limit uint64, keep float64) {
	limit = uint64(rate*0x1p16 + 0.5)
	return limit, 0x1p16 / float64(1<<16-limit)
}
