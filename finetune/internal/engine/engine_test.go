package engine

import (
	"math"
	"testing"
)

// TestDrop: the share of zeros, the mean, and the same bits for the same step.
func TestDrop(t *testing.T) {
	const n = 200000
	a, b := make([]float32, n), make([]float32, n)
	for _, rate := range []float64{0.1, 0.5, 0.9} {
		Drop(a, rate, 1, 2, 3)
		zeros, sum := 0, 0.0
		for _, v := range a {
			if v == 0 {
				zeros++
			}
			sum += float64(v)
		}
		// Five standard deviations of a binomial share.
		if got, tol := float64(zeros)/n, 5*math.Sqrt(rate*(1-rate)/n); !(math.Abs(got-rate) <= tol) {
			t.Errorf("rate %v: %v dropped, want within %v", rate, got, tol)
		}
		if mean, tol := sum/n, 5*math.Sqrt(rate/(1-rate)/n); !(math.Abs(mean-1) <= tol) {
			t.Errorf("rate %v: mean %v, want 1 within %v", rate, mean, tol)
		}
		Drop(b, rate, 1, 2, 3)
		same := true
		for i := range a {
			same = same && a[i] == b[i]
		}
		if !same {
			t.Errorf("rate %v: the same step has another mask", rate)
		}
		for _, other := range [][3]uint64{{9, 2, 3}, {1, 9, 3}, {1, 2, 9}} {
			Drop(b, rate, other[0], other[1], int(other[2]))
			agree := 0
			for i := range a {
				if a[i] == b[i] {
					agree++
				}
			}
			// Independent masks agree with probability r^2 + (1-r)^2.
			want := rate*rate + (1-rate)*(1-rate)
			if got := float64(agree) / n; !(math.Abs(got-want) <= 0.01) {
				t.Errorf("rate %v: masks of another seed, step or operation agree in %v, want %v", rate, got, want)
			}
		}
	}
}

// TestLosses checks values by hand.
func TestLosses(t *testing.T) {
	f := []float64{2, 0, 0.5, 0}
	b := &Batch[float64]{N: 2, Labels: []int{0, 1}}
	grad := make([]float64, 4)
	full := math.Log1p(math.Exp(-2)) + math.Log1p(math.Exp(0.5))
	for _, c := range []struct {
		loss Loss
		want float64
		zero bool // the first example has no gradient
	}{
		{Loss{Kind: Softmax}, full, false},
		{Loss{Kind: Truncated, Margin: 2.5}, full, false},
		{Loss{Kind: Truncated, Margin: 1.5}, math.Log1p(math.Exp(0.5)), true},
		{Loss{Kind: Squared}, (1.0 + 0 + 0.25 + 1) / 2, false},
	} {
		s := Of(c.loss, b, f, grad)
		if !(math.Abs(s.Loss-c.want) <= 1e-15) || s.Wrong != 1 || s.N != 2 {
			t.Errorf("%+v: %+v, want loss %v", c.loss, s, c.want)
		}
		if c.loss.Kind != Squared && !(math.Abs(s.Full-full) <= 1e-15) {
			t.Errorf("%+v: full loss %v, want %v", c.loss, s.Full, full)
		}
		if got := grad[0] == 0; got != c.zero {
			t.Errorf("%+v: gradient %v", c.loss, grad)
		}
	}
}

// TestSingleLogit: one logit f of two classes has the loss, the gradient and the
// errors of the logits (0, f).
func TestSingleLogit(t *testing.T) {
	one := []float64{2, -0.5, 0, 40, -800}
	two := make([]float64, 2*len(one))
	for i, f := range one {
		two[2*i+1] = f
	}
	for _, labels := range [][]int{{0, 0, 0, 0, 0}, {1, 1, 1, 1, 1}} {
		b := &Batch[float64]{N: len(one), Labels: labels}
		for _, l := range []Loss{{Kind: Softmax}, {Kind: Truncated, Margin: 1}} {
			d, dd := make([]float64, len(one)), make([]float64, len(two))
			got, want := Of(l, b, one, d), Of(l, b, two, dd)
			// Sums of five numbers up to 800.
			if got.Wrong != want.Wrong || !(math.Abs(got.Loss-want.Loss) <= 1e-12) || !(math.Abs(got.Full-want.Full) <= 1e-12) {
				t.Errorf("%+v, labels %v: %+v, want %+v", l, labels, got, want)
			}
			for i := range d {
				if !(math.Abs(d[i]-dd[2*i+1]) <= 1e-15) {
					t.Errorf("%+v, labels %v: derivative %d is %v, want %v", l, labels, i, d[i], dd[2*i+1])
				}
			}
		}
	}
	d := make([]float64, 2)
	s := Of(Loss{Kind: Squared}, &Batch[float64]{N: 2, Labels: []int{1, 0}}, []float64{0.25, 0.5}, d)
	if want := (0.75*0.75 + 1.5*1.5) / 2; s.Loss != want || d[0] != -0.375 || d[1] != 0.75 {
		t.Errorf("squared: %+v, derivative %v, want the loss %v", s, d, want)
	}
	if nan := Of(Loss{}, &Batch[float64]{N: 1, Labels: []int{0}}, []float64{math.NaN()}, nil); nan.Wrong != 1 {
		t.Errorf("NaN: %+v", nan)
	}
}
