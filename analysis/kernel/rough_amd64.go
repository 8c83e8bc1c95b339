//go:build amd64 && !purego

package kernel

import "golang.org/x/sys/cpu"

func init() {
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512VNNI && cpu.X86.HasAVX512VBMI && vector32.maxAbs != nil {
		roughLoops = &roughOps{roughQuantize, roughDots, roughAdd}
	}
}

//go:noescape
func roughQuantize(dst *byte, w *float32, blocks int, inv float32, counter uint32)

//go:noescape
func roughDots(sums *int32, q *byte, stride, blocks int, v *int8)

//go:noescape
func roughAdd(z *float32, q *byte, stride, groups, wide int, c *int8, init *int32, scale *float32)
