package lower

import (
	"math"
	"slices"

	"gonum.org/v1/gonum/dsp/fourier"

	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/refusal"
	"github.com/relupath/relupath/onnxio/internal/tensor"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

const transforms = "it is a Fourier transform"

// spectrum is a discrete Fourier transform of n numbers, each of them with its
// imaginary part where complex, of which the first bins are kept.
type spectrum struct {
	n, bins          int
	complex, inverse bool
}

// compute transforms the numbers that x gives and writes real and imaginary parts.
func (s *spectrum) compute(fft *fourier.CmplxFFT, seq []complex128, put func(k int, re, im float64)) {
	if s.inverse {
		seq = fft.Sequence(nil, seq)
	} else {
		seq = fft.Coefficients(nil, seq)
	}
	for k, c := range seq[:s.bins] {
		if s.inverse {
			c /= complex(float64(s.n), 0)
		}
		put(k, real(c), imag(c))
	}
}

// lowerDFT transforms the numbers along an axis; the last axis has real and imaginary
// parts.
func lowerDFT(o *op, v *value) error {
	var err error
	dims := v.dims()
	r := len(dims)
	at := o.int("axis", 1)
	if o.opset >= 20 {
		if at = -2; o.arg(2) != nil {
			if at, err = o.one(2, "the axis"); err != nil {
				return err
			}
		}
	}
	axis, err := tensor.AxisOf(at, r)
	if err != nil {
		return err
	}
	if axis == r-1 || dims[r-1] != 1 && dims[r-1] != 2 {
		return refusal.New("", "a transform along axis %d of %s", axis, tensor.DimString(dims))
	}
	if dims[axis] == tensor.BatchDim {
		return refusal.MixesBatch("it transforms along the batch axis")
	}
	s := &spectrum{n: dims[axis], complex: dims[r-1] == 2, inverse: o.int("inverse", 0) != 0}
	if o.arg(1) != nil {
		n, err := o.one(1, "the length of the transform")
		if err != nil {
			return err
		}
		if n < 0 || n > tensor.MaxElements {
			return refusal.New("", "a transform of %s", words.Count(n, "number"))
		}
		s.n = int(n)
	}
	if s.bins = s.n; o.int("onesided", 0) != 0 {
		if s.complex || s.inverse {
			return refusal.New("transform both sides", "it is one-sided of complex numbers")
		}
		s.bins = s.n/2 + 1
	}
	shape := slices.Clone(dims)
	shape[axis], shape[r-1] = s.bins, 2
	if s.n < 1 || !tensor.Fits(shape) {
		return refusal.New("", "a transform of %s of %s", words.Count(s.n, "number"), tensor.DimString(dims))
	}
	a, parts := tensor.Around(dims, axis), dims[r-1]
	inner := a.Inner / parts
	return o.gives(o.functionOf(transforms, v.dataType(), shape, func(dst []float64, in ...[]float64) {
		fft, seq := fourier.NewCmplxFFT(s.n), make([]complex128, s.n)
		for q := range a.Outer {
			for e := range inner {
				for i := range seq {
					if seq[i] = 0; i < a.N {
						x := in[0][((q*a.N+i)*inner+e)*parts:]
						if seq[i] = complex(x[0], 0); s.complex {
							seq[i] = complex(x[0], x[1])
						}
					}
				}
				s.compute(fft, seq, func(k int, re, im float64) {
					y := dst[((q*s.bins+k)*inner+e)*2:]
					y[0], y[1] = re, im
				})
			}
		}
	}, v))
}

// lowerSTFT transforms windows of a signal, each so many numbers behind the one before.
func lowerSTFT(o *op, v *value) error {
	dims := v.dims()
	if len(dims) == 2 {
		dims = append(slices.Clone(dims), 1)
	}
	if len(dims) != 3 || dims[2] != 1 && dims[2] != 2 {
		return refusal.New("", "a signal of shape %s", tensor.DimString(dims))
	}
	if dims[1] == tensor.BatchDim || dims[2] == tensor.BatchDim {
		return refusal.MixesBatch("it transforms along the batch axis")
	}
	step, err := o.one(1, "the step of windows")
	if err != nil {
		return err
	}
	window, err := o.analysisWindow()
	if err != nil {
		return err
	}
	s := &spectrum{n: len(window), bins: len(window), complex: dims[2] == 2}
	if o.int("onesided", 1) != 0 {
		if s.complex {
			return refusal.New("transform both sides", "it is one-sided of complex numbers")
		}
		s.bins = s.n/2 + 1
	}
	if step < 1 || s.n < 1 || s.n > dims[1] {
		return refusal.New("", "windows of %s, a step of %d, on a signal of %d", words.Count(s.n, "number"), step, dims[1])
	}
	frames := (dims[1]-s.n)/int(min(step, tensor.MaxElements)) + 1
	shape := []int{dims[0], frames, s.bins, 2}
	if !tensor.Fits(shape) {
		return tooLarge()
	}
	return o.gives(o.functionOf(transforms, v.dataType(), shape, func(dst []float64, in ...[]float64) {
		fft, seq := fourier.NewCmplxFFT(s.n), make([]complex128, s.n)
		for q := range tensor.Single(dims[0]) * frames {
			from := q/frames*dims[1] + q%frames*int(step)
			for i, w := range window {
				if s.complex {
					seq[i] = complex(w*in[0][2*(from+i)], w*in[0][2*(from+i)+1])
				} else {
					seq[i] = complex(w*in[0][from+i], 0)
				}
			}
			s.compute(fft, seq, func(k int, re, im float64) { dst[2*(q*s.bins+k)], dst[2*(q*s.bins+k)+1] = re, im })
		}
	}, v))
}

// analysisWindow reads the weights of STFT's windows: an operand, or ones.
func (o *op) analysisWindow() ([]float64, error) {
	if o.arg(2) != nil {
		t, err := o.constant(2, "the window")
		if err != nil {
			return nil, err
		}
		if len(t.Dims) != 1 {
			return nil, refusal.New("", "a window of shape %v", t.Dims)
		}
		return t.Float64s()
	}
	n, err := o.one(3, "the length of windows")
	if err != nil {
		return nil, err
	}
	if n < 1 || n > tensor.MaxElements {
		return nil, refusal.New("", "windows of %s", words.Count(n, "number"))
	}
	return slices.Repeat([]float64{1}, int(n)), nil
}

// cosineWindow makes a lowerer of a window of weights a0 - a1 cos(2 pi i/n) + a2 cos(4 pi i/n).
func cosineWindow(a0, a1, a2 float64) lowerer {
	return func(o *op) error {
		size, err := o.one(0, "the length of the window")
		if err != nil {
			return err
		}
		if size < 0 || size > tensor.MaxElements {
			return refusal.New("", "a window of %s", words.Count(size, "number"))
		}
		typ := wire.DataType(o.int("output_datatype", int64(wire.Float32)))
		if !tensor.IsFloat(typ) {
			return refusal.New("make it of a floating type", "a window of %v", typ)
		}
		if err := o.afford(int(size)); err != nil {
			return err
		}
		n := float64(size)
		if o.int("periodic", 1) == 0 {
			n--
		}
		out := make([]float64, size)
		for i := range out {
			x := 2 * math.Pi * float64(i) / n
			out[i] = a0 - a1*math.Cos(x) + a2*math.Cos(2*x)
		}
		o.giveTensor(tensor.NewTensor(typ, []int{int(size)}, out))
		return nil
	}
}
