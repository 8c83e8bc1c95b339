package analysis_test

import (
	"math"
	"slices"
	"testing"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/finetune"
)

// Every example has weights of its own: the score of the right class is w, that of the other
// v, both times 1. The worst noise of the size alpha makes the margin w - v - 2 alpha, that in
// proportion w - v - alpha (|w| + |v|), and the error rises by 0.1 where it does so for every
// tenth example.
func TestSharpnessOfSeparateExamples(t *testing.T) {
	const examples = 40
	g := generator(5)
	w, x := make([]float64, 2*examples), make([]float64, examples*examples)
	var plain, part, floored []float64
	for i, v := range g.values(examples) {
		w[examples+i], x[i*examples+i] = v, 1
		w[i] = v + 0.1 + float64(i)/examples
		plain = append(plain, (w[i]-v)/2)
		part = append(part, (w[i]-v)/(math.Abs(w[i])+math.Abs(v)))
		floored = append(floored, (w[i]-v-2e-3)/(math.Abs(w[i])+math.Abs(v)))
	}
	n := mlp(t, examples, [][]float64{w}, nil)
	opt := analysis.Options{
		Names: []string{"sharpness_flatness", "sharpness_magnitude_flatness"}, Differentiate: finetune.Differentiate,
		Data: &analysis.Labelled{Inputs: [][]float64{x}, Batch: examples, Labels: make([]int, examples)},
	}
	for _, c := range []struct {
		published  bool
		proportion []float64
	}{{false, part}, {true, floored}} {
		opt.Published = c.published
		r := measure(t, n, opt)
		for k, of := range [][]float64{plain, c.proportion} {
			of = slices.Sorted(slices.Values(of))
			// A fifth example that is wrong is one too many.
			got, want := 1/math.Sqrt(r.Measures[k].Value.Float64()), of[examples/10]
			if !(math.Abs(got-want) <= 0.01*want) { // the search ends at 1 %
				t.Errorf("published %v: %s: alpha %v, want %v", c.published, r.Measures[k].Name, got, want)
			}
		}
	}
}

// Of small networks the ascent finds no larger ball than random noise and all corners do, to the
// 1 % of both searches; in one case of ten it may miss a part. A smaller one it has proved by a point.
func TestSharpnessAgainstBruteForce(t *testing.T) {
	missed, most, cases := 0, 1.0, 0
	for seed := range uint64(16) {
		g := generator(100 + seed)
		w := [][]float64{g.values(2 * 2), g.values(2 * 2)}
		x := g.values(2 * 20)
		data := &analysis.Labelled{Inputs: [][]float64{x}, Batch: 20}
		data.Labels = predict(t, mlp(t, 2, w, nil), x, 20)
		wrong := func(u []float64) int {
			n := 0
			for i, y := range data.Labels {
				var h, f [2]float64
				for j := range 2 {
					h[j] = max(0, (w[0][2*j]+u[2*j])*x[2*i]+(w[0][2*j+1]+u[2*j+1])*x[2*i+1])
				}
				for c := range 2 {
					f[c] = (w[1][2*c]+u[4+2*c])*h[0] + (w[1][2*c+1]+u[4+2*c+1])*h[1]
				}
				if !(f[y] > f[1-y]) {
					n++
				}
			}
			return n
		}
		flat, borne := slices.Concat(w...), wrong(make([]float64, 8))+2
		for _, kind := range []string{"sharpness_flatness", "sharpness_magnitude_flatness"} {
			radius := func(alpha float64, i int) float64 {
				if kind == "sharpness_flatness" {
					return alpha
				}
				return alpha * math.Abs(flat[i])
			}
			r := generator(seed)
			breaks := func(alpha float64) bool {
				u := make([]float64, 8)
				for corner := range 256 {
					for i := range u {
						u[i] = radius(alpha, i) * float64(2*(corner>>i&1)-1)
					}
					if wrong(u) > borne {
						return true
					}
				}
				for range 2000 {
					for i, v := range r.values(8) {
						u[i] = radius(alpha, i) * math.Tanh(2*v)
					}
					if wrong(u) > borne {
						return true
					}
				}
				return false
			}
			lo, hi := 0.0, 4.0
			for hi-lo > 1e-3*hi {
				if mid := (lo + hi) / 2; breaks(mid) {
					hi = mid
				} else {
					lo = mid
				}
			}
			m := measure(t, mlp(t, 2, w, nil), analysis.Options{Names: []string{kind}, Data: data, Differentiate: finetune.Differentiate}).Measures[0]
			got := 1 / math.Sqrt(m.Value.Float64())
			cases++
			most = max(most, got/hi)
			if !(got <= 1.02*hi) {
				missed++
			}
		}
	}
	t.Logf("%d of %d missed, by up to a factor of %.2f", missed, cases, most)
	if missed > cases/10 || most > 1.5 {
		t.Errorf("%d of %d missed, by up to a factor of %.2f", missed, cases, most)
	}
}

// The bounds are their formulas, summed weight by weight, at the balls that were found.
func TestSharpnessBounds(t *testing.T) {
	const eps = 1e-3
	n, w, data := perceptron(t, 1)
	ref, w0, _ := perceptron(t, 2)
	r := measure(t, n, analysis.Options{
		Names: []string{
			"sharpness_flatness", "sharpness_magnitude_flatness", "sharpness_init", "sharpness_orig",
			"sharpness_mag_init", "sharpness_mag_orig",
		}, Reference: ref, Data: data, Differentiate: finetune.Differentiate,
	})
	value := func(name string) float64 { return find(t, r.Measures, name).Value.Float64() }
	alpha, mag := 1/math.Sqrt(value("sharpness_flatness")), 1/math.Sqrt(value("sharpness_magnitude_flatness"))
	var from, whole, omega float64
	for l := range w {
		for i, x := range w[l] {
			from += (x - w0[l][i]) * (x - w0[l][i])
			whole += x * x
			omega++
		}
	}
	many := math.Log(2 * omega)
	for name, square := range map[string]float64{"init": from, "orig": whole} {
		want := square*many/(4*alpha*alpha) + math.Log(57*math.Sqrt(2*many)/alpha) + 10
		if got := value("sharpness_" + name); math.Abs(got-want) > 1e-9*want {
			t.Errorf("sharpness_%s = %v, want %v", name, got, want)
		}
		want = math.Log(57*math.Sqrt(2*many)/mag) + 10
		for l := range w {
			for i, x := range w[l] {
				d := x - w0[l][i]
				want += 0.25 * math.Log((eps*eps+(mag*mag+4*many)*square/omega)/(eps*eps+mag*mag*d*d))
			}
		}
		if got := value("sharpness_mag_" + name); math.Abs(got-want) > 1e-9*want {
			t.Errorf("sharpness_mag_%s = %v, want %v", name, got, want)
		}
	}
}

// Rescaling by powers of two changes no rounding, and no sign of a derivative: the worst noise in
// proportion to the weights is the same noise.
func TestSharpnessIsInvariant(t *testing.T) {
	n, _, data := perceptron(t, 4)
	groups := n.Groups()
	c := groups.Ones()
	for i := range c {
		if groups.Pin[i] == "" {
			c[i] = math.Exp2(float64(i%7 - 3))
		}
	}
	m, err := n.Rescale(groups, c)
	if err != nil {
		t.Fatal(err)
	}
	opt := analysis.Options{Names: []string{"sharpness_magnitude_flatness"}, Data: data, Differentiate: finetune.Differentiate}
	a, b := measure(t, n, opt).Measures[0], measure(t, m, opt).Measures[0]
	if a.Value != b.Value || !a.Defined {
		t.Errorf("%v, rescaled %v", a.Value, b.Value)
	}
}

// Without derivatives, or where the network cannot be trained, the reason is told.
func TestSharpnessWithoutDerivatives(t *testing.T) {
	n, _, data := perceptron(t, 1)
	m := measure(t, n, analysis.Options{Names: []string{"sharpness_flatness"}, Data: data}).Measures[0]
	if m.Defined || m.Reason == "" {
		t.Errorf("%+v", m)
	}
	var b dag.Builder
	x := b.Input("x", 2)
	y := b.Input("y", 2)
	b.Output("z", b.Sum("sum", b.Affine("fc", x, 2, []float64{1, 2, 3, 4}, nil), y))
	two, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	m = measure(t, two, analysis.Options{
		Names: []string{"sharpness_flatness"}, Differentiate: finetune.Differentiate,
		Data: &analysis.Labelled{Inputs: [][]float64{{1, 2}, {1, 2}}, Batch: 1, Labels: []int{0}},
	}).Measures[0]
	if m.Defined || m.Reason == "" {
		t.Errorf("%+v", m)
	}
}
