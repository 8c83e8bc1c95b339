package engine

import (
	"math"

	"github.com/relupath/relupath/finetune/internal/program"
)

// LossKind is the loss.
type LossKind uint8

// The losses, means over examples, of logits f and label y:
//
//	Softmax    -f_y + ln sum_c exp f_c
//	Truncated  the same, but 0 where f_y - max_{c != y} f_c > Margin
//	Squared    (1/2) sum_c (f_c - t_c)^2, t the targets or the label's unit vector
//
// A single logit f of labelled examples stands for the two logits (0, f), so that
// Softmax is the logistic loss; Squared compares it with -1 for label 0 and 1 for
// label 1, so that its sign tells the class there too.
const (
	Softmax LossKind = iota
	Truncated
	Squared
)

// Loss is a loss with its parameter.
type Loss struct {
	Kind   LossKind
	Margin float64
}

// Of adds the loss of every example to the sums and writes into grad (nil:
// not wanted) the derivative of the batch's mean.
func Of[T program.Float](l Loss, b *Batch[T], logits, grad []T) Stats {
	s := Stats{N: b.N}
	if b.N == 0 {
		return s
	}
	m := len(logits) / b.N
	inv := 1 / float64(b.N)
	for i := range b.N {
		f := logits[i*m:][:m]
		var d, t []T
		if grad != nil {
			d = grad[i*m:][:m]
		}
		if b.Targets != nil {
			t = b.Targets[i*m:][:m]
		}
		y := -1
		if b.Labels != nil {
			y = b.Labels[i]
			if predicted(f) != y {
				s.Wrong++
			}
		}
		var full, margin float64
		switch {
		case l.Kind == Squared:
			full = squared(f, d, t, y, inv)
		case m == 1:
			full, margin = logistic(f, d, y, inv)
		default:
			full, margin = softmax(f, d, y, inv)
		}
		s.Full += full
		if l.Kind == Truncated && margin > l.Margin {
			clear(d)
		} else {
			s.Loss += full
		}
	}
	return s
}

// predicted returns the first class with the largest logit; -1 when a NaN is
// among them.
func predicted[T program.Float](f []T) int {
	if len(f) == 1 && f[0] > 0 {
		return 1
	}
	best := -1
	for c, v := range f {
		if v != v {
			return -1
		}
		if best < 0 || v > f[best] {
			best = c
		}
	}
	return best
}

// softmax returns the loss of one example and its margin, and writes the loss's
// derivative times inv.
func softmax[T program.Float](f, d []T, y int, inv float64) (loss, margin float64) {
	most := math.Inf(-1)
	rival := math.Inf(-1)
	for c, v := range f {
		most = math.Max(most, float64(v))
		if c != y {
			rival = math.Max(rival, float64(v))
		}
	}
	sum := 0.0
	for _, v := range f {
		sum += math.Exp(float64(v) - most)
	}
	for c := range d {
		p := math.Exp(float64(f[c])-most) / sum
		if c == y {
			p--
		}
		d[c] = T(p * inv)
	}
	return most + math.Log(sum) - float64(f[y]), float64(f[y]) - rival
}

// logistic is softmax for the logits (0, f).
func logistic[T program.Float](f, d []T, y int, inv float64) (loss, margin float64) {
	z := float64(f[0])
	margin = z
	if y == 0 {
		margin = -z
	}
	if d != nil {
		d[0] = T((1/(1+math.Exp(-z)) - float64(y)) * inv)
	}
	return math.Max(-margin, 0) + math.Log1p(math.Exp(-math.Abs(margin))), margin
}

// squared is the squared loss of one example; t nil is the unit vector of y, or
// its sign for a single logit.
func squared[T program.Float](f, d, t []T, y int, inv float64) float64 {
	sum := 0.0
	for c, v := range f {
		want := 0.0
		switch {
		case t != nil:
			want = float64(t[c])
		case len(f) == 1:
			want = float64(2*y - 1)
		case c == y:
			want = 1
		}
		r := float64(v) - want
		sum += r * r
		if d != nil {
			d[c] = T(r * inv)
		}
	}
	return sum / 2
}
