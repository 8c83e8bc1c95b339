package scaled

import (
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"
)

func toBig(a Num) *big.Float {
	return new(big.Float).SetPrec(200).SetMantExp(new(big.Float).SetPrec(200).SetFloat64(a.Frac), int(a.Exp))
}

// One rounding to 53 bits has a relative error of at most 2^-53.
func near(t *rapid.T, what string, got Num, want *big.Float, ulps float64) {
	if want.Sign() == 0 {
		if !got.IsZero() {
			t.Fatalf("%s: got %v, want 0", what, got)
		}
		return
	}
	d := new(big.Float).Sub(toBig(got), want)
	r, _ := d.Quo(d, want).Float64()
	if !(math.Abs(r) <= ulps*0x1p-53) {
		t.Fatalf("%s: got %v, relative error %g", what, got, r)
	}
}

func draw(t *rapid.T, name string) Num {
	return New(rapid.Float64Range(-10, 10).Draw(t, name)).Scale(rapid.Int64Range(-5000, 5000).Draw(t, name+"exp"))
}

func TestArithmeticAgainstBig(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw(t, "a"), draw(t, "b")
		near(t, "mul", a.Mul(b), new(big.Float).SetPrec(200).Mul(toBig(a), toBig(b)), 1)
		if !b.IsZero() {
			near(t, "div", a.Div(b), new(big.Float).SetPrec(400).Quo(toBig(a), toBig(b)), 1)
		}
		sum := new(big.Float).SetPrec(20000).Add(toBig(a), toBig(b))
		near(t, "add", a.Add(b), sum, 1)
		if got, want := a.Cmp(b), toBig(a).Cmp(toBig(b)); got != want {
			t.Fatalf("cmp(%v,%v) = %d, want %d", a, b, got, want)
		}
	})
}

func TestPowAndLogs(t *testing.T) {
	for _, c := range []struct {
		a       Num
		p       float64
		wantLn  float64
		wantPow float64 // ln of a^p
	}{
		{New(3), 16, math.Log(3), 16 * math.Log(3)},
		{New(1e-30).Scale(-4000), 3, math.Log(1e-30) - 4000*math.Ln2, 3 * (math.Log(1e-30) - 4000*math.Ln2)},
		{New(0.5).Scale(12345), 1.5, 12344 * math.Ln2, 1.5 * 12344 * math.Ln2},
		{New(0.7), 5000, math.Log(0.7), 5000 * math.Log(0.7)},
		{New(2).Scale(7), 0.5, 8 * math.Ln2, 4 * math.Ln2},
	} {
		// ln of a number of size e^L carries an absolute error of about L*2^-52.
		if got := c.a.Ln(); !(math.Abs(got-c.wantLn) <= 1e-15*math.Abs(c.wantLn)) {
			t.Errorf("%v.Ln() = %v, want %v", c.a, got, c.wantLn)
		}
		if got := c.a.Pow(c.p).Ln(); !(math.Abs(got-c.wantPow) <= 1e-14*math.Abs(c.wantPow)) {
			t.Errorf("%v.Pow(%g).Ln() = %v, want %v", c.a, c.p, got, c.wantPow)
		}
		if got := c.a.Pow(c.p).Root(c.p).Div(c.a).Float64(); !(math.Abs(got-1) <= 1e-12) {
			t.Errorf("root of power of %v = %v times it", c.a, got)
		}
	}
}

// Float64 rounds as math.Ldexp at both ends of the range and scales exactly
// between.
func TestFloat64(t *testing.T) {
	for _, f := range []float64{0.5, -0.75, 1 - 0x1p-53, 0, math.NaN(), math.Inf(1), math.Inf(-1)} {
		for e := int64(-1100); e <= 1100; e++ {
			got, want := Num{f, e}.Float64(), math.Ldexp(f, int(e))
			if got != want && !math.IsNaN(f) || math.IsNaN(got) != math.IsNaN(f) {
				t.Errorf("%v * 2^%d = %v, want %v", f, e, got, want)
			}
		}
	}
}

func TestNorm(t *testing.T) {
	for _, p := range []float64{1, 1.5, 2, 16, math.Inf(1)} {
		for _, shift := range []int64{0, 5000, -5000} {
			x := []Num{New(3).Scale(shift), {}, New(-4).Scale(shift), New(1e-200).Scale(shift)}
			want := math.Pow(math.Pow(3, p)+math.Pow(4, p), 1/p)
			if p == math.Inf(1) {
				want = 4
			}
			got := Norm(x, p).Scale(-shift).Float64()
			if !(math.Abs(got-want) <= 4e-16*want*4) { // a few roundings
				t.Errorf("Norm p=%g shift=%d: got %v want %v", p, shift, got, want)
			}
		}
	}
	for _, p := range []float64{1, 2, math.Inf(1)} {
		if got := Norm([]Num{New(1), New(math.NaN()), New(math.Inf(1))}, p); !math.IsNaN(got.Frac) {
			t.Errorf("Norm p=%g with a NaN = %v", p, got)
		}
		if got := Norm([]Num{New(1), New(math.Inf(-1)), New(2)}, p); !math.IsInf(got.Frac, 1) {
			t.Errorf("Norm p=%g with an infinity = %v", p, got)
		}
	}
	if got := Norm(nil, 2); !got.IsZero() {
		t.Errorf("Norm of nothing = %v", got)
	}
}

func TestString(t *testing.T) {
	if got := New(1).Scale(10000).String(); got != "1.99506e+3010" {
		t.Errorf("2^10000 = %s", got)
	}
	if got := New(29).String(); got != "29" {
		t.Errorf("29 = %s", got)
	}
}
