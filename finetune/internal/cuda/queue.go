//go:build cuda

package cuda

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"unsafe"

	gonumblas "gonum.org/v1/gonum/blas"
	"gorgonia.org/cu"
	cublas "gorgonia.org/cu/blas"
)

// device implements Device with Gorgonia's bindings.
type device struct {
	name   string
	suffix string // of the kernels for numbers of the device's type
	ctx    cu.CUContext
	blas   *cublas.Standard
	module map[string]cu.Function
	memory []cu.DevicePtr
	used   int64
	err    error
}

// Open makes a context on the first device and loads the kernels for numbers of
// so many bits.
func Open(bits int) (Device, error) {
	gpu, err := Find()
	if err != nil {
		return nil, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	d := &device{name: gpu.Name, suffix: fmt.Sprintf("_f%d", bits), module: map[string]cu.Function{}}
	if d.ctx, err = cu.Device(0).MakeContext(cu.SchedAuto); err != nil {
		return nil, &Error{fmt.Sprintf("the device cannot be set up: %v", err)}
	}
	if err = d.load(); err == nil {
		// cuBLAS works in the context of the thread that opens it.
		d.blas = new(cublas.Standard)
		err = d.blas.Init()
	}
	if err != nil {
		return nil, errors.Join(&Error{fmt.Sprintf("the device cannot be set up: %v", err)}, d.Close())
	}
	return d, nil
}

// load hands the kernels to the driver.
func (d *device) load() error {
	text, names := kernels(d.suffix)
	m, err := cu.LoadData(text)
	for _, name := range names {
		if err == nil {
			d.module[name], err = m.Function(name)
		}
	}
	return err
}

func (d *device) Enter() {
	runtime.LockOSThread()
	d.note(cu.SetCurrentContext(d.ctx))
}

func (d *device) Leave() { runtime.UnlockOSThread() }

// note keeps the first failure.
func (d *device) note(err error) {
	if d.err == nil && err != nil {
		d.err = &Error{fmt.Sprintf("the device fails: %v", err)}
	}
}

func (d *device) Alloc(bytes int) Ptr {
	if d.err != nil || bytes == 0 {
		return 0
	}
	d.used += int64(bytes)
	p, err := cu.MemAlloc(int64(bytes))
	if err != nil {
		free, _, _ := cu.MemInfo()
		d.err = &Error{fmt.Sprintf("training needs %d kB of device memory or more, and %d kB are free: use a smaller batch, or the CPU", d.used>>10, (free+d.used-int64(bytes))>>10)}
		return 0
	}
	d.memory = append(d.memory, p)
	return Ptr(p)
}

func (d *device) Write(dst Ptr, src unsafe.Pointer, bytes int) {
	if d.err == nil && bytes > 0 {
		d.note(cu.MemcpyHtoD(cu.DevicePtr(dst), src, int64(bytes)))
	}
}

func (d *device) Read(dst unsafe.Pointer, src Ptr, bytes int) {
	if d.err == nil && bytes > 0 {
		d.note(cu.MemcpyDtoH(dst, cu.DevicePtr(src), int64(bytes)))
	}
}

// block is the number of threads of a block.
const block = 256

func (d *device) Launch(kernel string, threads int, args ...any) {
	if d.err != nil || threads == 0 {
		return
	}
	f, ok := d.module[kernel+d.suffix]
	if !ok {
		panic("cuda: there is no kernel " + kernel)
	}
	args = append(args, threads)
	words, params := make([]uint64, len(args)), make([]unsafe.Pointer, len(args))
	for i, a := range args {
		params[i] = unsafe.Pointer(&words[i])
		switch a := a.(type) {
		case Ptr:
			words[i] = a
		case int:
			words[i] = uint64(a)
		case float64:
			words[i] = math.Float64bits(a)
		case bool:
			if a {
				words[i] = 1
			}
		default:
			panic(fmt.Sprintf("cuda: an argument of kernel %s is a %T", kernel, a))
		}
	}
	d.note(f.Launch((threads+block-1)/block, 1, 1, block, 1, 1, 0, cu.NoStream, params))
}

// at is memory of the device as the bindings of cuBLAS take it.
func at[T any](p Ptr) []T {
	return unsafe.Slice((*T)(*(*unsafe.Pointer)(unsafe.Pointer(&p))), 1)
}

// Gemm implements Device. cuBLAS has matrices by columns: the product of the
// transposes, in the other order, is the transpose of the product.
func (d *device) Gemm(transA, transB bool, m, n, k int, alpha float64, a Ptr, lda int, b Ptr, ldb int, beta float64, c Ptr, ldc int) {
	if d.err != nil || m == 0 || n == 0 {
		return
	}
	op := map[bool]gonumblas.Transpose{false: gonumblas.NoTrans, true: gonumblas.Trans}
	if d.suffix == "_f64" {
		d.blas.Dgemm(op[transB], op[transA], n, m, k, alpha, at[float64](b), ldb, at[float64](a), lda, beta, at[float64](c), ldc)
	} else {
		d.blas.Sgemm(op[transB], op[transA], n, m, k, float32(alpha), at[float32](b), ldb, at[float32](a), lda, float32(beta), at[float32](c), ldc)
	}
	d.note(d.blas.Err())
}

func (d *device) Name() string { return d.name }
func (d *device) Err() error   { return d.err }

// Close implements Device. It gives everything back.
func (d *device) Close() error {
	d.Enter()
	defer d.Leave()
	var all []error
	for _, p := range d.memory {
		all = append(all, cu.MemFree(p))
	}
	if d.blas != nil {
		all = append(all, d.blas.Close())
	}
	return errors.Join(append(all, d.ctx.Destroy())...)
}
