//go:build linux

// Nvrtc compiles CUDA kernels to PTX with NVIDIA's run-time compiler, which
// needs neither nvcc nor a GPU:
//
//	go run ./finetune/internal/cuda/nvrtc -lib libnvrtc.so.12 -o DIR FILE.cu...
//
// Each file is compiled twice, with real as float and as double, and K(name) as
// the name with _f32 and _f64, into files with the same endings. The PTX is for
// compute capability 6.0 and newer: the driver compiles it for the device that it
// finds.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"
)

// flags ask for IEEE arithmetic and no contraction to fused multiply-adds, so
// that device and host round alike. NVRTC has no C headers, hence INFINITY.
var flags = []string{
	"--gpu-architecture=compute_60", "--fmad=false", "--ftz=false", "--prec-div=true", "--prec-sqrt=true",
	"--device-int128", "-DINFINITY=__longlong_as_double(0x7ff0000000000000LL)",
}

// nvrtc is the part of the library's interface that is used here (NVRTC 12.4
// documentation, section 4). Results are nvrtcResult, 0 for success.
type nvrtc struct {
	create  func(prog *uintptr, src, name *byte, headers int32, texts, names **byte) int32
	compile func(prog uintptr, n int32, options **byte) int32
	ptxSize func(prog uintptr, n *uintptr) int32
	ptx     func(prog uintptr, text *byte) int32
	logSize func(prog uintptr, n *uintptr) int32
	log     func(prog uintptr, text *byte) int32
	destroy func(prog *uintptr) int32
}

func open(path string) (*nvrtc, error) {
	lib, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return nil, err
	}
	var n nvrtc
	for name, f := range map[string]any{
		"nvrtcCreateProgram": &n.create, "nvrtcCompileProgram": &n.compile, "nvrtcGetPTXSize": &n.ptxSize, "nvrtcGetPTX": &n.ptx,
		"nvrtcGetProgramLogSize": &n.logSize, "nvrtcGetProgramLog": &n.log, "nvrtcDestroyProgram": &n.destroy,
	} {
		purego.RegisterLibFunc(f, lib, name)
	}
	return &n, nil
}

// cstring is a string that ends in a zero byte.
func cstring(s string) *byte { return unsafe.StringData(s + "\x00") }

// text reads one of the two strings of a program.
func text(prog uintptr, size func(uintptr, *uintptr) int32, get func(uintptr, *byte) int32) string {
	var n uintptr
	if size(prog, &n) != 0 || n == 0 {
		return ""
	}
	buf := make([]byte, n)
	if get(prog, &buf[0]) != 0 {
		return ""
	}
	return string(bytes.TrimRight(buf, "\x00"))
}

// translate compiles the text of one file for one type of numbers.
func (n *nvrtc) translate(name, src, real, suffix string) (string, error) {
	var prog uintptr
	if r := n.create(&prog, cstring(src), cstring(name), 0, nil, nil); r != 0 {
		return "", fmt.Errorf("nvrtcCreateProgram: result %d", r)
	}
	defer n.destroy(&prog)
	var options []*byte
	for _, f := range append(slices.Clip(flags), "-Dreal="+real, "-DK(name)=name##"+suffix) {
		options = append(options, cstring(f))
	}
	if r := n.compile(prog, int32(len(options)), &options[0]); r != 0 {
		return "", fmt.Errorf("nvrtcCompileProgram: result %d\n%s", r, text(prog, n.logSize, n.log))
	}
	ptx := text(prog, n.ptxSize, n.ptx)
	if !strings.Contains(ptx, ".entry") {
		return "", fmt.Errorf("%s has no kernels", name)
	}
	return ptx, nil
}

func run(lib, dir string, files []string) error {
	n, err := open(lib)
	if err != nil {
		return err
	}
	for _, f := range files {
		src, err := os.ReadFile(f)
		if err != nil {
			return err
		}
		base := filepath.Base(f)
		for suffix, real := range map[string]string{"_f32": "float", "_f64": "double"} {
			ptx, err := n.translate(base, string(src), real, suffix)
			if err != nil {
				return fmt.Errorf("%s: %w", f, err)
			}
			if err := os.WriteFile(filepath.Join(dir, strings.TrimSuffix(base, ".cu")+suffix+".ptx"), []byte(ptx), 0o666); err != nil {
				return err
			}
		}
	}
	return nil
}

func main() {
	lib := flag.String("lib", "libnvrtc.so.12", "the NVRTC library")
	dir := flag.String("o", ".", "folder for the PTX files")
	flag.Parse()
	if err := run(*lib, *dir, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "nvrtc:", err)
		os.Exit(1)
	}
}
