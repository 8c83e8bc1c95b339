// Package lists makes slices: of others, of numbers in order, and long enough ones.
package lists

// Map returns f of each element of x, in order; of none an empty slice, which is not nil.
func Map[E, T any](x []E, f func(E) T) []T {
	out := make([]T, len(x))
	for i, v := range x {
		out[i] = f(v)
	}
	return out
}

// Number is what Convert and Count make.
type Number interface {
	~int | ~int32 | ~int64 | ~float32 | ~float64
}

// Convert returns the numbers of x as those of another type, as Go converts them.
func Convert[T, N Number](x []N) []T {
	out := make([]T, len(x))
	for i, v := range x {
		out[i] = T(v)
	}
	return out
}

// Count returns n numbers in order, from first on.
func Count[T Number](first T, n int) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = first + T(i)
	}
	return out
}

// Longer is x where that has n elements or more, else n zeros.
func Longer[T any](x []T, n int) []T {
	if len(x) < n {
		return make([]T, n)
	}
	return x
}
