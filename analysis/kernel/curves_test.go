package kernel

import (
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// ulps returns by how many units in the last place of want got is off, where both are finite.
func ulps(got, want float64) float64 {
	return math.Abs(got-want) / (math.Nextafter(math.Abs(want), math.Inf(1)) - math.Abs(want))
}

// The library's functions are off by less than one unit, so two here are three there. Zeros
// and what is no finite number are the same.
func TestCurves(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	special := []float64{0, math.Copysign(0, -1), 1, -1, 708, -708, 709, -709, 745, -746, 1000, 6, -6, 5.9999, 1e-300, -1e-300, 5e-324, math.Inf(1), math.Inf(-1), math.NaN()}
	for _, c := range []struct {
		name string
		f    func(dst, x []float64)
		want func(float64) float64
		size []float64
	}{
		{"Exp", Exp, math.Exp, []float64{1e-12, 1, 30, 720}},
		{"Erf", Erf, math.Erf, []float64{1e-12, 0.01, 1, 3, 8}},
	} {
		x := append([]float64(nil), special...)
		for _, size := range c.size {
			for range 20000 {
				x = append(x, size*(2*rng.Float64()-1))
			}
		}
		// The places of the tables, and between them.
		for i := range 1000 {
			x = append(x, float64(i)/128, math.Nextafter(float64(i)/128, 0), float64(i)*math.Ln2/128)
		}
		y := make([]float64, len(x))
		c.f(y, x)
		worst := 0.0
		for i, v := range x {
			want := c.want(v)
			if want-want != 0 || want == 0 {
				if !same(y[i], want) {
					t.Errorf("%s %v: %v, want %v", c.name, v, y[i], want)
				}
				continue
			}
			if u := ulps(y[i], want); !(u <= 3) {
				t.Fatalf("%s %v: %v, want %v: %v units", c.name, v, y[i], want, u)
			} else {
				worst = max(worst, u)
			}
		}
		t.Logf("%s: %v units at most", c.name, worst)
		c.f(x, x)
		for i := range x {
			if !same(x[i], y[i]) {
				t.Fatalf("%s in place: %v, want %v", c.name, x[i], y[i])
			}
		}
	}
}

// Exp and Logistic give the same bits with and without assembly, wherever numbers stand that it leaves out,
// and Logistic's formula.
func TestCurvesBits(t *testing.T) {
	var exps, logistics []float64
	engines(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(15, 16))
		special := []float64{0, math.Copysign(0, -1), 708, -708, 709, -746, 5e-324, math.Inf(1), math.Inf(-1), math.NaN()}
		var x []float64
		for range 20000 {
			if rng.IntN(16) == 0 {
				x = append(x, special[rng.IntN(len(special))])
			} else {
				x = append(x, rng.NormFloat64()*math.Pow(10, float64(rng.IntN(5)-1)))
			}
		}
		e, l := make([]float64, len(x)), append([]float64(nil), x...)
		for at := 0; at < len(x); { // pieces of every remainder
			n := min(rng.IntN(40), len(x)-at)
			Exp(e[at:at+n], x[at:at+n])
			Logistic(l[at:at+n], make([]float64, n))
			at += n
		}
		if exps == nil {
			exps, logistics = e, l
		}
		for i, v := range x {
			if !same(e[i], exps[i]) || !same(l[i], logistics[i]) {
				t.Fatalf("%v: %v and %v, with other instructions %v and %v", v, e[i], l[i], exps[i], logistics[i])
			}
			want := 1 / (1 + math.Exp(-v))
			if v < -700 {
				continue // e^-v is infinite there, or about to be
			}
			if want != want {
				if !same(l[i], want) {
					t.Fatalf("logistic function of %v: %v, want %v", v, l[i], want)
				}
			} else if u := ulps(l[i], want); !(u <= 6) { // four here, some two in want
				t.Fatalf("logistic function of %v: %v, want %v: %v units", v, l[i], want, u)
			}
		}
	})
}

// Against series in 300 bits: 2 units at most.
func TestCurvesAgainstSeries(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 14))
	num := func(v float64) *big.Float { return new(big.Float).SetPrec(300).SetFloat64(v) }
	for range 300 {
		v := 8*rng.Float64() - 4
		x := num(v)
		// e^x = sum x^n / n!, and erf x = 2/sqrt(pi) sum (-1)^n x^(2n+1) / (n! (2n+1)).
		term, exp := num(1), num(0)
		power, erf := num(v), num(0)
		for n := range 150 {
			exp.Add(exp, term)
			term.Quo(term.Mul(term, x), num(float64(n+1)))
			part := new(big.Float).SetPrec(300).Quo(power, num(float64(2*n+1)))
			erf.Add(erf, part)
			power.Mul(power.Mul(power, x), x)
			power.Neg(power.Quo(power, num(float64(n+1))))
		}
		pi, _ := new(big.Float).SetPrec(300).SetString("3.14159265358979323846264338327950288419716939937510582097494459230781640628620899862803482534211706798")
		erf.Quo(erf.Mul(erf, num(2)), pi.Sqrt(pi))
		for _, c := range []struct {
			name string
			f    func(dst, x []float64)
			want *big.Float
		}{{"Exp", Exp, exp}, {"Erf", Erf, erf}} {
			y := []float64{v}
			c.f(y, y)
			want, _ := c.want.Float64()
			diff, _ := new(big.Float).Sub(num(y[0]), c.want).Float64()
			if u := math.Abs(diff) / (math.Nextafter(math.Abs(want), math.Inf(1)) - math.Abs(want)); !(u <= 2) {
				t.Errorf("%s %v: %v, want %v: %v units", c.name, v, y[0], want, u)
			}
		}
	}
}

func BenchmarkCurves(b *testing.B) {
	rng := rand.New(rand.NewPCG(15, 16))
	x, y := make([]float64, 1000), make([]float64, 1000)
	for i := range x {
		x[i] = rng.NormFloat64()
	}
	for _, c := range []struct {
		name string
		f    func(dst, x []float64)
	}{
		{"Exp", Exp},
		{"Erf", Erf},
		{"math.Exp", func(dst, x []float64) {
			for i, v := range x {
				dst[i] = math.Exp(v)
			}
		}},
		{"math.Erf", func(dst, x []float64) {
			for i, v := range x {
				dst[i] = math.Erf(v)
			}
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				c.f(y, x)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(x)), "ns/element")
		})
	}
}
