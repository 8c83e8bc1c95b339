//go:build !noblas && (linux || darwin)

package blas

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"

	"github.com/ebitengine/purego"
)

func candidates() []string {
	switch v := os.Getenv(Env); v {
	case "":
	case "none":
		return nil
	default:
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

// alone tells OpenBLAS, whose own threads are not used (see tiles), to start none: they would
// wait for work in a loop that takes a processor from ours. Go's own variables are not the C library's.
var alone = sync.OnceFunc(func() {
	p, err := purego.Dlsym(purego.RTLD_DEFAULT, "setenv")
	if err != nil {
		return
	}
	var setenv func(name, value string, overwrite int32) int32
	purego.RegisterFunc(&setenv, p)
	setenv("OPENBLAS_NUM_THREADS", "1", 1)
})

// open loads a library.
func open(name string) (*Engine, error) {
	alone()
	lib, err := purego.Dlopen(name, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return nil, fmt.Errorf("not found")
	}
	sym := map[string]uintptr{}
	for _, s := range []string{"dgemm_", "sgemm_", "openblas_set_num_threads", "openblas_get_config"} {
		p, err := purego.Dlsym(lib, s)
		if err != nil {
			return nil, fmt.Errorf("has no %s", s)
		}
		sym[s] = p
	}
	var setThreads func(n int32)
	var config func() string
	purego.RegisterFunc(&setThreads, sym["openblas_set_num_threads"])
	purego.RegisterFunc(&config, sym["openblas_get_config"])
	cfg := config()
	if strings.Contains(cfg, "USE64BITINT") {
		return nil, fmt.Errorf("has 64-bit integers")
	}
	setThreads(1)
	return &Engine{
		name:  strings.TrimSpace(cfg),
		dgemm: gemmOf[float64](sym["dgemm_"]),
		sgemm: gemmOf[float32](sym["sgemm_"]),
		split: true, library: true,
		svd:    svdOf(lib),
		eigen:  eigenOf(lib),
		reduce: reduceOf(lib),
	}, nil
}
