//go:build !amd64 || purego

package kernel

// None of these is called: multiplied has no rows.

func multiplySingle512(*multiply) { panic("kernel: no product in assembly") }
func multiplySingle256(*multiply) { panic("kernel: no product in assembly") }
func multiplyDouble512(*multiply) { panic("kernel: no product in assembly") }
func multiplyDouble256(*multiply) { panic("kernel: no product in assembly") }

func transposeEight(*float32, int, *float32, int, int) {
	panic("kernel: no transposition in assembly")
}

func transposeFour(*float64, int, *float64, int, int) {
	panic("kernel: no transposition in assembly")
}
