package blas

func singularGo(m, n int, a []float64) ([]float64, bool) { return jacobiSingular(m, n, a) }

func eigenGo(n int, a []float64, vectors bool) ([]float64, bool) { return jacobiEigen(n, a, vectors) }

// reduceGo is not needed: values are found by rotations too.
var reduceGo func(n int, a []float64) (d, e []float64, err error)
