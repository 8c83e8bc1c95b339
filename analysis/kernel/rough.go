package kernel

import (
	"math"
)

// Rough is a copy of a matrix with eight bits a weight, for products that need to be right
// to a percent only: a quarter of the memory of float32, and products of integers.
//
// Row i is s_i q_ij with s_i = max_j |w_ij| / 126 and integers q_ij. Rounding is by chance: up
// with the probability that makes the mean of s_i q_ij w_ij. So the errors e_ij of a copy are
// independent, their means are 0 and their variances at most s_i^2 / 4, whatever the matrix is,
// and no matrix has a structure that rounding hides.
type Rough struct {
	rows, cols int
	// wide is cols, high rows, padded with weights of 0.
	wide, high int
	// q has q_ij + 128 in blocks of 4 rows and 16 columns, row by row: all blocks of four rows, then those of
	// the next four.
	q     []byte
	scale []float64
	seed  uint32
	parts []roughPart
	v     []int8
}

// roughPart is what a share of the rows needs: sums along the columns, those of a tile's rows, and
// factors of the rows in eight bits.
type roughPart struct {
	z    []float32
	sums []int32
	c    []int8
}

const (
	// roughRows is the number of rows, and roughColumns of columns, that a loop takes at a time.
	roughRows, roughColumns = 16, 64
	// roughTile is the number of weights that are multiplied by the vectors and then, from the second-level
	// cache, by the products. More rows than roughMost are of no use.
	roughTile, roughMost = 256 << 10, 128
	// roughTop is the largest |q|: rounded up it is 127 at most.
	roughTop = 126
	// RoughColumns is the largest number of columns: sums of more products would leave 32 bits.
	RoughColumns = 1 << 16
)

// roughLoops are the loops of Rough in assembly; nil without them.
var roughLoops *roughOps

type roughOps struct {
	// quantize writes blocks of 16 weights times inv, rounded with the noise of the numbers from counter on,
	// 64 bytes apart.
	quantize func(dst *byte, w *float32, blocks int, inv float32, counter uint32)
	// dots sets sums, 16 rows x 4, to the products of 16 rows with four vectors of wide elements.
	dots func(sums *int32, q *byte, stride, blocks int, v *int8)
	// add adds to z_k scale_k (init_k + the rows times c_k), for groups of four rows.
	add func(z *float32, q *byte, stride, groups, wide int, c *int8, init *int32, scale *float32)
}

// HasRough says that products with a Rough have fast loops.
func HasRough() bool { return roughLoops != nil }

// NewRough copies a matrix of rows of cols weights, one after the other; nil where a weight
// is NaN, or products would leave the range of float32, or there are too many columns. Seed is that of the
// rounding. bound is one of the spectral norm of what the copy is off by, whatever the matrix is:
//
//	1.5 max(sqrt(cols) max_i s_i, sqrt(sum_i s_i^2)).
//
// The norm's mean is near two thirds of that at most (Bandeira, van Handel, Ann. Probab. 44, 2016, with variances of
// s_i^2 / 4). It is a convex function of errors that are independent and bounded, so it exceeds its mean by t with a probability
// of at most some 4 exp(-t^2 / (4 max_i s_i^2)) (Talagrand, Publ. IHES 81, 1995), and the bound with some 4 exp(-n/16), n the longer side.
func NewRough(w []float32, rows, cols, threads int, seed uint64) (r *Rough, bound float64) {
	if cols > RoughColumns || rows == 0 || cols == 0 {
		return nil, 0
	}
	up := func(n, to int) int { return (n + to - 1) / to * to }
	r = &Rough{rows: rows, cols: cols, wide: up(cols, roughColumns), high: up(rows, roughRows), seed: noise(uint32(seed)) ^ uint32(seed>>32)}
	r.q, r.scale, r.v = LargePages(make([]byte, r.high*r.wide)), make([]float64, r.high), make([]int8, GramVectors*r.wide)
	Parallel(r.high, threads, roughRows, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			var row []float32
			if i < rows {
				row = w[i*cols:][:cols]
			}
			r.quantize(i, row)
		}
	})
	var most, sum float64
	for _, s := range r.scale {
		most, sum = max(most, s), sum+s*s
	}
	// A scale that is NaN makes most NaN.
	if !(most >= 0x1p-40 && most <= 0x1p40) {
		return nil, 0
	}
	step := r.tile()
	r.parts = make([]roughPart, max(1, min(16, rows*cols>>21, r.high/step)))
	for i := range r.parts {
		r.parts[i] = roughPart{make([]float32, GramVectors*r.wide), make([]int32, GramVectors*step), make([]int8, GramVectors*step)}
	}
	return r, 1.5 * max(most*math.Sqrt(float64(cols)), math.Sqrt(sum))
}

// tile is the number of rows in a tile.
func (r *Rough) tile() int {
	return max(roughRows, min(roughTile/r.wide, roughMost)/roughRows*roughRows)
}

func (r *Rough) quantize(i int, row []float32) {
	top := MaxAbs(row)
	r.scale[i] = top / roughTop
	inv := float32(0)
	if top >= 0x1p-100 {
		inv = float32(roughTop / top)
	}
	dst, counter := r.q[i/4*4*r.wide+i%4*16:], r.seed+uint32(i*r.wide)
	j := 0
	if roughLoops != nil && len(row) >= 16 {
		j = len(row) &^ 15
		roughLoops.quantize(&dst[0], &row[0], j/16, inv, counter)
	}
	for ; j < r.wide; j++ {
		q := byte(128)
		if j < len(row) {
			q = byte(128 + rounded(row[j]*inv, counter+uint32(j)))
		}
		dst[j/16*64+j%16] = q
	}
}

// rounded is x to an integer, up or down as number n of the noise has it.
func rounded(x float32, n uint32) int32 {
	u := math.Float32frombits(noise(n)>>9|0x3f800000) - 1.5
	return int32(math.RoundToEven(float64(x + u)))
}

// noise is a function of numbers that has no pattern: C. Wellons' lowbias32.
func noise(n uint32) uint32 {
	n ^= n >> 16
	n *= 0x7feb352d
	n ^= n >> 15
	n *= 0x846ca68b
	return n ^ n>>16
}

// Gram sets z_k to about A^T A v_k for k < GramVectors, vectors of cols elements, one after the other. Vectors, and
// products of rows with them, are rounded to eight bits by chance as well; sums are exact within a tile of rows and
// float32 over tiles. turn numbers the calls: other noise each time. The bits are the same for any number of
// threads, and with loops or without.
func (r *Rough) Gram(z, v []float64, threads int, turn uint32) {
	var unit [GramVectors]float64
	var total [GramVectors]int32
	for k := range GramVectors {
		x, q := v[k*r.cols:][:r.cols], r.v[k*r.wide:][:r.cols]
		top := MaxAbs(x)
		unit[k] = top / roughTop
		inv := 0.0
		if top > 0 {
			inv = roughTop / top
		}
		counter := noise(r.seed ^ turn<<3 + uint32(k))
		for j, a := range x {
			n := rounded(float32(a*inv), counter+uint32(j))
			q[j] = int8(n)
			total[k] += n
		}
	}
	InTurn(len(r.parts), threads, 1, func(take func() (lo, hi int)) {
		for lo, hi := take(); lo < hi; lo, hi = take() {
			n := r.high / roughRows
			r.share(&r.parts[lo], unit, total, lo*n/len(r.parts)*roughRows, hi*n/len(r.parts)*roughRows, turn)
		}
	})
	for k := range GramVectors {
		out := z[k*r.cols:][:r.cols]
		clear(out)
		for _, p := range r.parts {
			for j, x := range p.z[k*r.wide:][:len(out)] {
				out[j] += float64(x)
			}
		}
	}
}

// share sums rows [from, to).
func (r *Rough) share(p *roughPart, unit [GramVectors]float64, total [GramVectors]int32, from, to int, turn uint32) {
	clear(p.z)
	step := r.tile()
	var y [GramVectors * roughMost]float64
	for lo := from; lo < to; lo += step {
		rows := min(step, to-lo)
		q := r.q[lo*r.wide:][:rows*r.wide]
		r.dots(p.sums, q, rows)
		var scale [GramVectors]float32
		var init [GramVectors]int32
		for k := range GramVectors {
			top := 0.0
			for i := range rows {
				s := r.scale[lo+i]
				y[k*roughMost+i] = float64(p.sums[i*GramVectors+k]-128*total[k]) * unit[k] * s * s
				top = max(top, math.Abs(y[k*roughMost+i]))
			}
			scale[k] = float32(top / roughTop)
			inv := 0.0
			if top > 0 {
				inv = roughTop / top
			}
			counter := noise(r.seed ^ noise(turn<<3+uint32(k)+4) + uint32(lo))
			for i := range rows {
				c := rounded(float32(y[k*roughMost+i]*inv), counter+uint32(i))
				// Four rows are a group, of which the vectors have their four one after the other.
				p.c[i/4*16+k*4+i%4] = int8(c)
				init[k] -= 128 * c
			}
		}
		r.add(p.z, q, rows, p.c, &init, &scale)
	}
}

// dots sets sums, rows x 4, to products of rows of q with the vectors.
func (r *Rough) dots(sums []int32, q []byte, rows int) {
	if roughLoops != nil {
		for i := 0; i < rows; i += roughRows {
			roughLoops.dots(&sums[i*GramVectors], &q[i*r.wide], 4*r.wide, r.wide/16, &r.v[0])
		}
		return
	}
	for i := range rows {
		for k := range GramVectors {
			var s int32
			for j := range r.wide {
				s += int32(q[i/4*4*r.wide+j/16*64+i%4*16+j%16]) * int32(r.v[k*r.wide+j])
			}
			sums[i*GramVectors+k] = s
		}
	}
}

// add adds to z_k scale_k times the sum of rows times c_k, and init_k.
func (r *Rough) add(z []float32, q []byte, rows int, c []int8, init *[GramVectors]int32, scale *[GramVectors]float32) {
	if roughLoops != nil {
		roughLoops.add(&z[0], &q[0], 4*r.wide, rows/4, r.wide, &c[0], &init[0], &scale[0])
		return
	}
	for k := range GramVectors {
		for j := range r.wide {
			s := init[k]
			for i := range rows {
				s += int32(q[i/4*4*r.wide+j/16*64+i%4*16+j%16]) * int32(c[i/4*16+k*4+i%4])
			}
			p := float32(s) * scale[k]
			z[k*r.wide+j] += p
		}
	}
}
