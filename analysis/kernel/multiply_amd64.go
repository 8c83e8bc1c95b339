//go:build amd64 && !purego

package kernel

import "golang.org/x/sys/cpu"

func init() {
	switch {
	case cpu.X86.HasAVX512F:
		multiplied.rows, multiplied.vector = 8, 64
	case cpu.X86.HasAVX2 && cpu.X86.HasFMA:
		multiplied.rows, multiplied.vector = 4, 32
	}
}

//go:noescape
func multiplySingle512(p *multiply)

//go:noescape
func multiplySingle256(p *multiply)

//go:noescape
func multiplyDouble512(p *multiply)

//go:noescape
func multiplyDouble256(p *multiply)

//go:noescape
func transposeEight(dst *float32, ld int, src *float32, stride, n int)

//go:noescape
func transposeFour(dst *float64, ld int, src *float64, stride, n int)
