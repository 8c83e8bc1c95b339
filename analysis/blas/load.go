//go:build !noblas && (linux || darwin)

package blas

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"
)

func candidates() []string {
	if v := os.Getenv(Env); v != "" {
		if v == "none" {
			return nil
		}
		return []string{v}
	}
	if runtime.GOOS == "darwin" {
		return []string{"libopenblas.dylib", "/opt/homebrew/opt/openblas/lib/libopenblas.dylib", "/usr/local/opt/openblas/lib/libopenblas.dylib"}
	}
	return []string{"libopenblas.so.0", "libopenblas.so"}
}

// load opens the first library that has what is needed.
func load() (*Engine, []string) {
	var tried []string
	for _, name := range candidates() {
		e, err := open(name)
		if err == nil {
			return e, append(tried, name+": found")
		}
		tried = append(tried, fmt.Sprintf("%s: %v", name, err))
	}
	return nil, tried
}

// The values of enum CBLAS_ORDER and CBLAS_TRANSPOSE.
const (
	rowMajor = 101
	noTrans  = 111
	yesTrans = 112
)

func transOf(t bool) int32 {
	if t {
		return yesTrans
	}
	return noTrans
}

func open(name string) (*Engine, error) {
	lib, err := purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return nil, fmt.Errorf("not found")
	}
	sym := map[string]uintptr{}
	for _, s := range []string{"cblas_dgemm", "cblas_sgemm", "openblas_set_num_threads", "openblas_get_config"} {
		p, err := purego.Dlsym(lib, s)
		if err != nil {
			return nil, fmt.Errorf("has no %s", s)
		}
		sym[s] = p
	}
	var dgemm func(order, ta, tb, m, n, k int32, alpha float64, a unsafe.Pointer, lda int32, b unsafe.Pointer, ldb int32, beta float64, c unsafe.Pointer, ldc int32)
	var sgemm func(order, ta, tb, m, n, k int32, alpha float32, a unsafe.Pointer, lda int32, b unsafe.Pointer, ldb int32, beta float32, c unsafe.Pointer, ldc int32)
	var setThreads func(n int32)
	var config func() string
	purego.RegisterFunc(&dgemm, sym["cblas_dgemm"])
	purego.RegisterFunc(&sgemm, sym["cblas_sgemm"])
	purego.RegisterFunc(&setThreads, sym["openblas_set_num_threads"])
	purego.RegisterFunc(&config, sym["openblas_get_config"])
	cfg := config()
	if strings.Contains(cfg, "USE64BITINT") {
		return nil, fmt.Errorf("has 64-bit integers")
	}
	return &Engine{
		name: strings.TrimSpace(cfg),
		dgemm: func(ta, tb bool, m, n, k int, alpha float64, a []float64, lda int, b []float64, ldb int, beta float64, c []float64, ldc int) {
			dgemm(rowMajor, transOf(ta), transOf(tb), int32(m), int32(n), int32(k), alpha,
				unsafe.Pointer(unsafe.SliceData(a)), int32(lda), unsafe.Pointer(unsafe.SliceData(b)), int32(ldb), beta,
				unsafe.Pointer(unsafe.SliceData(c)), int32(ldc))
		},
		sgemm: func(ta, tb bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
			sgemm(rowMajor, transOf(ta), transOf(tb), int32(m), int32(n), int32(k), alpha,
				unsafe.Pointer(unsafe.SliceData(a)), int32(lda), unsafe.Pointer(unsafe.SliceData(b)), int32(ldb), beta,
				unsafe.Pointer(unsafe.SliceData(c)), int32(ldc))
		},
		setThreads: func(n int) { setThreads(int32(n)) },
		svd:        svdOf(lib),
	}, nil
}
