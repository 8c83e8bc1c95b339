package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// panels are the sizes of Multiply's panels that this machine has.
func panels() [][2]int {
	sizes := [][2]int{{0, 0}}
	if multiplied.rows > 0 {
		sizes = append(sizes, [2]int{4, 32})
	}
	if multiplied.rows > 4 {
		sizes = append(sizes, [2]int{8, 64})
	}
	return sizes
}

func withPanels(rows, vector int, do func()) {
	kept := multiplied
	defer func() { multiplied = kept }()
	multiplied.rows, multiplied.vector = rows, vector
	do()
}

// productCase is a random case of Multiply: operands, and where the result goes.
type productCase[T Float] struct {
	o      Operands[T]
	ldc, n int
	alpha  T
	mode   Store
}

func drawProduct[T Float](rng *rand.Rand) productCase[T] {
	m, n, k := 1+rng.IntN(20), 1+rng.IntN(120), 1+rng.IntN(40)
	c := productCase[T]{ldc: n + rng.IntN(5), n: n, alpha: []T{1, -0.5}[rng.IntN(2)], mode: Store(rng.IntN(2))}
	draw := func(n int) []T {
		x := make([]T, n)
		for i := range x {
			x[i] = T(rng.NormFloat64())
		}
		return x
	}
	o := Operands[T]{K: k, Step: 1 + rng.IntN(3)}
	for range m {
		o.Rows = append(o.Rows, rng.IntN(50))
	}
	o.A = draw(50 + k*o.Step)
	slack := []int{0, 0, 64}[rng.IntN(3)]
	if rng.IntN(2) == 0 {
		at := make([]int, k)
		for l := range at {
			at[l] = rng.IntN(60)
		}
		o.At, o.B = NewPlaces(at), draw(60+n+slack)
	} else {
		o.Stride = rng.IntN(n + 3)
		o.B = draw((k-1)*o.Stride + n + slack)
	}
	c.o = o
	return c
}

func (c *productCase[T]) run(old []T) []T {
	got := append([]T(nil), old...)
	Multiply(got, c.ldc, c.n, &c.o, c.alpha, c.mode)
	return got
}

func TestMultiply(t *testing.T) {
	t.Run("float32", func(t *testing.T) { testMultiply[float32](t, 0x1p-24) })
	t.Run("float64", func(t *testing.T) { testMultiply[float64](t, 0x1p-53) })
}

func testMultiply[T Float](t *testing.T, eps float64) {
	for _, size := range panels() {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(3, 4))
			for range 400 {
				c := drawProduct[T](rng)
				o, m := &c.o, len(c.o.Rows)
				old := make([]T, (m-1)*c.ldc+c.n+3)
				for i := range old {
					old[i] = T(rng.NormFloat64())
				}
				var got []T
				withPanels(size[0], size[1], func() { got = c.run(old) })
				for at, v := range got {
					i, j := at/c.ldc, at%c.ldc
					if i >= m || j >= c.n {
						if v != old[at] {
							t.Fatalf("%+v: element %d, which is none of the result, was written", c, at)
						}
						continue
					}
					want, size := 0.0, 0.0
					if c.mode == Accumulate {
						want = float64(old[at])
						size = math.Abs(want)
					}
					for l := range o.K {
						b := l * o.Stride
						if o.At.at != nil {
							b = o.At.at[l]
						}
						p := float64(c.alpha) * float64(o.A[o.Rows[i]+l*o.Step]) * float64(o.B[b+j])
						want += p
						size += math.Abs(p)
					}
					// K+2 roundings of ours, as many of the test's own in float64.
					if math.Abs(float64(v)-want) > float64(o.K+2)*(eps+0x1p-53)*size {
						t.Fatalf("element %d, %d is %v, not %v, of %d terms", i, j, v, want, o.K)
					}
				}
			}
		})
	}
}

// The bits of an element depend neither on the panel that it is in nor on the columns beside it.
func TestMultiplyBits(t *testing.T) {
	t.Run("float32", testMultiplyBits[float32])
	t.Run("float64", testMultiplyBits[float64])
}

func testMultiplyBits[T Float](t *testing.T) {
	if !Multiplies() {
		t.Skip("no product in assembly")
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for range 100 {
		c := drawProduct[T](rng)
		c.o.B = append(c.o.B, make([]T, 64)...)
		old := make([]T, (len(c.o.Rows)-1)*c.ldc+c.n)
		want := c.run(old)
		for _, size := range panels()[1:] {
			withPanels(size[0], size[1], func() {
				for i, v := range c.run(old) {
					if v != want[i] {
						t.Fatalf("panels of %v give %v for element %d, not %v", size, v, i, want[i])
					}
				}
			})
		}
		part := c
		part.o.Rows = c.o.Rows[:(len(c.o.Rows)+1)/2]
		part.n = (c.n + 1) / 2
		for i, v := range part.run(old) {
			if row, j := i/c.ldc, i%c.ldc; row < len(part.o.Rows) && j < part.n && v != want[i] {
				t.Fatalf("a part of the result gives %v for element %d, not %v", v, i, want[i])
			}
		}
	}
}

func TestMultiplyChecks(t *testing.T) {
	fits := func() (*Operands[float32], []float32) {
		return &Operands[float32]{A: make([]float32, 20), Rows: []int{0, 10}, Step: 1, B: make([]float32, 40), Stride: 4, K: 10}, make([]float32, 8)
	}
	panics := func(name string, do func(o *Operands[float32], c []float32)) {
		t.Run(name, func(t *testing.T) {
			o, c := fits()
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			do(o, c)
		})
	}
	o, c := fits()
	Multiply(c, 4, 4, o, 1, Overwrite)
	panics("result", func(o *Operands[float32], c []float32) { Multiply(c[:7], 4, 4, o, 1, Overwrite) })
	panics("row", func(o *Operands[float32], c []float32) { o.Rows[1] = 11; Multiply(c, 4, 4, o, 1, Overwrite) })
	panics("row before", func(o *Operands[float32], c []float32) { o.Rows[1] = -1; Multiply(c, 4, 4, o, 1, Overwrite) })
	panics("columns", func(o *Operands[float32], c []float32) { o.B = o.B[:39]; Multiply(c, 4, 4, o, 1, Overwrite) })
	panics("places", func(o *Operands[float32], c []float32) {
		o.At = NewPlaces([]int{0, 1})
		Multiply(c, 4, 4, o, 1, Overwrite)
	})
	panics("place", func(o *Operands[float32], c []float32) {
		o.At = NewPlaces([]int{0, 0, 0, 0, 0, 0, 0, 0, 0, 37})
		Multiply(c, 4, 4, o, 1, Overwrite)
	})
	panics("place before", func(*Operands[float32], []float32) { NewPlaces([]int{-1}) })
}

// BenchmarkMultiply is of operands that stay in the cache, with a list of places.
func BenchmarkMultiply(b *testing.B) {
	b.Run("float32", benchmarkMultiply[float32])
	b.Run("float64", benchmarkMultiply[float64])
}

func benchmarkMultiply[T Float](b *testing.B) {
	for _, size := range panels() {
		for _, n := range []int{16, 32, 48} {
			b.Run(fmt.Sprintf("%v/columns=%d", size, n), func(b *testing.B) {
				const m, k = 32, 144
				o := &Operands[T]{A: make([]T, m*k), Step: 1, B: make([]T, k*n+64), K: k}
				for i := range m {
					o.Rows = append(o.Rows, i*k)
				}
				at := make([]int, k)
				for l := range at {
					at[l] = l*n + l%3
				}
				o.At = NewPlaces(at)
				c := make([]T, m*n)
				withPanels(size[0], size[1], func() {
					for b.Loop() {
						Multiply(c, n, n, o, 1, Overwrite)
					}
				})
				b.ReportMetric(2*m*k*float64(n)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
			})
		}
	}
}

func TestTranspose(t *testing.T) {
	t.Run("float32", testTranspose[float32])
	t.Run("float64", testTranspose[float64])
}

func testTranspose[T Float](t *testing.T) {
	for _, size := range panels() {
		rng := rand.New(rand.NewPCG(7, 8))
		for range 100 {
			rows, n := 1+rng.IntN(30), 1+rng.IntN(40)
			ld, stride := rows+rng.IntN(4), n+rng.IntN(4)
			src := make([]T, rows*stride)
			for i := range src {
				src[i] = T(i + 1)
			}
			dst := make([]T, (n-1)*ld+rows)
			withPanels(size[0], size[1], func() { Transpose(dst, ld, src, stride, rows, n) })
			for at, v := range dst {
				j, i := at/ld, at%ld
				var want T
				if i < rows {
					want = src[i*stride+j]
				}
				if v != want {
					t.Fatalf("panels of %v, %d x %d: element %d, %d is %v, not %v", size, rows, n, j, i, v, want)
				}
			}
		}
	}
}
