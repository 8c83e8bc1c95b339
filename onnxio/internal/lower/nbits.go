package lower

import (
	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// bits reads numbers of so many bits out of bytes, the lowest bits first; each row of
// numbers begins at a byte.
func bits(raw []int64, width, row, i int) float64 {
	per := 8 / width
	at := i/row*((row+per-1)/per) + i%row/per
	return float64(raw[at] >> (i % row % per * width) & (1<<width - 1))
}

// lowerMatMulNBits multiplies by a matrix (N x K) of a few bits a number, which along K
// have a scale and a zero point a block: a layer that cannot be written back.
func lowerMatMulNBits(o *op, v *value) error {
	n, k := o.int("N", 0), o.int("K", 0)
	width, block := o.int("bits", 4), o.int("block_size", 0)
	if n < 1 || k < 1 || n > tensor.MaxElements || k > tensor.MaxElements/n || block < 1 || block > tensor.MaxElements || width != 2 && width != 4 && width != 8 {
		return refusal.New("", "a matrix of %d x %s of %d bits in blocks of %d", n, words.Count(k, "number"), width, block)
	}
	if o.arg(4) != nil {
		return refusal.New("quantise it without an order of groups", "its groups have an order of their own (g_idx)")
	}
	if err := o.afford(int(n * k)); err != nil {
		return err
	}
	raw, err := o.intsAt(1, "the matrix")
	if err != nil {
		return err
	}
	scale, err := o.floatsAt(2, "the scales")
	if err != nil {
		return err
	}
	rows, cols := int(n), int(k)
	blocks := (cols + int(block) - 1) / int(block)
	long := blocks * int(block) // a row with its padding
	if len(scale) != rows*blocks || long*int(width)%8 != 0 || len(raw) != rows*long*int(width)/8 {
		return refusal.New("", "%s and %s for %d x %s", words.Count(len(raw), "byte"), words.Count(len(scale), "scale"), n, words.Count(k, "number"))
	}
	zero, err := o.zeroPoints(rows, blocks, int(width))
	if err != nil {
		return err
	}
	w := make([]float64, rows*cols) // K x N
	for r := range rows {
		for c := range cols {
			b := r*blocks + c/int(block)
			w[c*rows+r] = (bits(raw, int(width), long, r*long+c) - zero(b)) * scale[b]
		}
	}
	t := tensor.NewTensor(floatType(o.in[2]), []int{cols, rows}, w)
	t.Pinned = dequantised
	out, err := o.matMulBy(v, t, false)
	if err != nil {
		return err
	}
	if o.arg(5) != nil {
		if out, err = o.biased(out, 5, 0); err != nil {
			return err
		}
	}
	o.give(0, out)
	return nil
}

// zeroPoints returns the zero point of each block: packed as the numbers are, stored as
// floating-point numbers, or the middle of the range.
func (o *op) zeroPoints(rows, blocks, width int) (func(b int) float64, error) {
	if o.arg(3) == nil {
		return func(int) float64 { return float64(int(1) << (width - 1)) }, nil
	}
	t, err := o.constant(3, "the zero points")
	if err != nil {
		return nil, err
	}
	per := 8 / width
	if t.DataType() == wire.Uint8 {
		raw, err := t.Int64s()
		if err == nil && len(raw) != rows*((blocks+per-1)/per) {
			err = refusal.New("", "%s of zero points for %d x %s", words.Count(len(raw), "byte"), rows, words.Count(blocks, "block"))
		}
		return func(b int) float64 { return bits(raw, width, blocks, b) }, err
	}
	x, err := t.Float64s()
	if err == nil && len(x) != rows*blocks {
		err = refusal.New("", "%d zero points for %d x %s", len(x), rows, words.Count(blocks, "block"))
	}
	return func(b int) float64 { return x[b] }, err
}
