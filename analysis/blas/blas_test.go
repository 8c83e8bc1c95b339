package blas

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/relupath/relupath/analysis/kernel"
)

// engines are those of this machine: gonum's, that of WebAssembly, that of package kernel, and a library when there is one.
func engines() []*Engine {
	e := []*Engine{Gonum(), {name: "packed", dgemm: packed[float64], sgemm: packed[float32]}}
	if kernel.Multiplies() {
		e = append(e, &Engine{name: "panels", dgemm: panels[float64], sgemm: panels[float32], split: true})
	}
	if f := Find(); f.Name() != e[0].Name() {
		e = append(e, f)
	}
	return e
}

type number interface{ float32 | float64 }

// random is a rows x cols matrix in rows of ld, NaN between them.
func random[T number](rng *rand.Rand, rows, cols, ld int) []T {
	a := make([]T, max(0, (rows-1)*ld+cols))
	for i := range a {
		a[i] = T(math.NaN())
		if i%ld < cols {
			a[i] = T(rng.NormFloat64())
		}
	}
	return a
}

// Both products against three loops, for every transposition, with rows longer
// than the matrices, in sizes below and above those that OpenBLAS splits over
// threads. eps bounds the sum of k products of unit size.
func TestGemm(t *testing.T) {
	for _, e := range engines() {
		t.Run(e.Name(), func(t *testing.T) {
			testGemm(t, e, 0x1p-52, func(e *Engine) gemm[float64] {
				return e.Dgemm
			})
			testGemm(t, e, 0x1p-23, func(e *Engine) gemm[float32] {
				return e.Sgemm
			})
		})
	}
}

func testGemm[T number](t *testing.T, e *Engine, eps float64, of func(e *Engine) gemm[T]) {
	rng := rand.New(rand.NewPCG(1, 2))
	product := of(e)
	for _, s := range [][3]int{{1, 1, 1}, {3, 4, 5}, {1, 7, 3}, {17, 1, 9}, {5, 515, 259}, {130, 340, 400}, {9, 50, 770}, {2, 3, 0}, {0, 3, 2}, {3, 0, 2}, {70, 65, 80}} {
		m, n, k := s[0], s[1], s[2]
		for mask := range 4 {
			ta, tb := mask&1 != 0, mask&2 != 0
			pad := rng.IntN(3)
			ra, ca, rb, cb := m, k, k, n
			if ta {
				ra, ca = ca, ra
			}
			if tb {
				rb, cb = cb, rb
			}
			lda, ldb, ldc := max(1, ca+pad), max(1, cb+pad), max(1, n+pad)
			a, b := random[T](rng, ra, ca, lda), random[T](rng, rb, cb, ldb)
			for _, beta := range []T{0, 1, -0.5} {
				alpha := T(1.5)
				c := random[T](rng, m, n, ldc)
				before := append([]T(nil), c...)
				if beta == 0 { // C is not read
					for i := range c {
						c[i] = T(math.NaN())
					}
				}
				product(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
				for i := range m {
					for j := range n {
						want := float64(beta) * float64(before[i*ldc+j])
						for x := range k {
							p, q := i*lda+x, x*ldb+j
							if ta {
								p = x*lda + i
							}
							if tb {
								q = j*ldb + x
							}
							want += float64(alpha) * float64(a[p]) * float64(b[q])
						}
						got := float64(c[i*ldc+j])
						if !(math.Abs(got-want) <= 20*eps*float64(k+2)) {
							t.Fatalf("%v ta %v tb %v beta %v: c[%d,%d] = %v, want %v", s, ta, tb, beta, i, j, got, want)
						}
					}
					for j := n; j < ldc && i < m-1; j++ {
						if x := c[i*ldc+j]; x == x {
							t.Fatalf("%v: wrote %v beyond row %d", s, x, i)
						}
					}
				}
			}
		}
	}
}

// A slice that is too short panics instead of letting a library read on.
func TestShortMatrices(t *testing.T) {
	for _, e := range engines() {
		for _, c := range []struct {
			name          string
			a, b, c       int
			lda, ldb, ldc int
		}{
			{"a", 5, 6, 4, 3, 2, 2},
			{"b", 6, 5, 4, 3, 2, 2},
			{"c", 6, 6, 3, 3, 2, 2},
			{"lda", 6, 6, 4, 2, 2, 2},
			{"ldb", 6, 6, 4, 3, 1, 2},
			{"ldc", 6, 6, 4, 3, 2, 1},
		} {
			func() {
				defer func() {
					if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), "too short") {
						t.Errorf("%s: short %s: recovered %v", e.Name(), c.name, r)
					}
				}()
				e.Dgemm(false, false, 2, 2, 3, 1, make([]float64, c.a), c.lda, make([]float64, c.b), c.ldb, 0, make([]float64, c.c), c.ldc)
			}()
		}
	}
}

// Many goroutines use one engine at a time, with garbage collections between;
// each gets its own product, the same bits every time.
func TestConcurrentProducts(t *testing.T) {
	for _, e := range engines() {
		const n = 64
		var wg sync.WaitGroup
		results := make([][]float64, 8)
		for g := range results {
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(9, 9))
				a, b := random[float64](rng, n, n, n), random[float64](rng, n, n, n)
				for range 20 {
					c := make([]float64, n*n)
					e.Dgemm(false, true, n, n, n, 1, a, n, b, n, 0, c, n)
					if results[g] == nil {
						results[g] = c
					}
					for i := range c {
						if c[i] != results[g][i] {
							t.Errorf("%s: a product changed", e.Name())
							return
						}
					}
					if g == 0 {
						runtime.GC()
					}
				}
			})
		}
		wg.Wait()
		for g := range results[1:] {
			for i := range results[0] {
				if results[g+1][i] != results[0][i] {
					t.Fatalf("%s: goroutines differ", e.Name())
				}
			}
		}
	}
}

func TestFind(t *testing.T) {
	if first := Find(); first != Find() {
		t.Error("looked twice")
	}
	for _, s := range Tried() {
		t.Log(s)
	}
}

func benchmark(b *testing.B, e *Engine, m, n, k int) {
	x, y, z := make([]float64, m*k), make([]float64, k*n), make([]float64, m*n)
	b.ReportAllocs()
	for b.Loop() {
		e.Dgemm(false, true, m, n, k, 1, x, k, y, k, 0, z, n)
	}
	b.ReportMetric(2*float64(m)*float64(n)*float64(k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}

func BenchmarkDgemm(b *testing.B) {
	for _, e := range engines() {
		for _, s := range [][3]int{{1, 1, 1}, {64, 256, 256}, {64, 4000, 784}} {
			b.Run(fmt.Sprintf("%dx%dx%d/%s", s[0], s[1], s[2], e.Name()), func(b *testing.B) { benchmark(b, e, s[0], s[1], s[2]) })
		}
	}
}

// setenv is t.Setenv for load, which reads the variable each time.
func setenv(t *testing.T, v string) {
	t.Helper()
	t.Setenv(Env, v)
	if os.Getenv(Env) != v {
		t.Fatal("not set")
	}
}

// The variable picks the library, turns the search off, and a file that is no
// library is named with the reason.
func TestEnv(t *testing.T) {
	setenv(t, "none")
	if e, tried := load(); e != nil || len(tried) != 0 {
		t.Errorf("none: %v %v", e, tried)
	}
	setenv(t, "/nowhere/libopenblas.so")
	if e, tried := load(); e != nil || len(tried) > 1 {
		t.Errorf("a missing library: %v %v", e, tried)
	}
}

// A product has the same bits for any number of threads, of those that are split
// and those that are not, and while others are computed.
func TestThreads(t *testing.T) {
	defer SetThreads(0)
	rng := rand.New(rand.NewPCG(5, 5))
	for _, e := range engines() {
		for _, s := range [][3]int{{3, 5, 7}, {60, 200, 128}, {200, 60, 129}, {1, 1500, 900}, {1501, 1, 900}} {
			m, n, k := s[0], s[1], s[2]
			for mask := range 4 {
				ta, tb := mask&1 != 0, mask&2 != 0
				a, b := random[float64](rng, m, k, k), random[float64](rng, k, n, n)
				lda, ldb := k, n
				if ta {
					lda = m
				}
				if tb {
					ldb = k
				}
				var want []float64
				for _, threads := range []int{1, 2, 3, 8} {
					SetThreads(threads)
					results := make([][]float64, threads)
					var wg sync.WaitGroup
					for i := range results {
						results[i] = make([]float64, m*n)
						wg.Go(func() { e.Dgemm(ta, tb, m, n, k, 1, a, lda, b, ldb, 0, results[i], n) })
					}
					wg.Wait()
					if want == nil {
						want = results[0]
					}
					for _, got := range results {
						if !slices.Equal(got, want) {
							t.Fatalf("%s: %v ta %v tb %v: other bits with %d threads", e.Name(), s, ta, tb, threads)
						}
					}
				}
			}
		}
	}
}

// BenchmarkSgemm times the three products of a layer in training: of a batch of 100 forward, by the input,
// and by the weights.
func BenchmarkSgemm(b *testing.B) {
	for _, s := range [][2]int{{784, 256}, {256, 256}, {256, 10}, {4000, 4000}} {
		in, out := s[0], s[1]
		const m = 100
		x, w, y := make([]float32, m*in), make([]float32, in*out), make([]float32, m*out)
		for name, product := range map[string]func(e *Engine){
			"forward": func(e *Engine) { e.Sgemm(false, true, m, out, in, 1, x, in, w, in, 0, y, out) },
			"input":   func(e *Engine) { e.Sgemm(false, false, m, in, out, 1, y, out, w, in, 0, x, in) },
			"weights": func(e *Engine) { e.Sgemm(true, false, out, in, m, -1, y, out, x, in, 1, w, in) },
		} {
			for _, e := range engines() {
				b.Run(fmt.Sprintf("%dx%d/%s/%s", in, out, name, e.Name()), func(b *testing.B) {
					for b.Loop() {
						product(e)
					}
					b.ReportMetric(2*m*float64(in)*float64(out)*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
				})
			}
		}
	}
}
