package tensor

import (
	"github.com/relupath/relupath/analysis/dag"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// IsFloat reports whether a type holds floating-point numbers that a network
// can compute with.
func IsFloat(typ wire.DataType) bool {
	switch typ {
	case wire.Float32, wire.Float64, wire.Float16, wire.BFloat16, wire.Undefined:
		return true
	}
	return false
}

// Dtype returns the type that a floating-point type is in the network.
func Dtype(typ wire.DataType) dag.DType {
	switch typ {
	case wire.Float64:
		return dag.Float64
	case wire.Float16:
		return dag.Float16
	case wire.BFloat16:
		return dag.BFloat16
	}
	return dag.Float32
}

// Rounded returns x as the type stores it: floats to the nearest, integers
// truncated and wrapped.
func Rounded(typ wire.DataType, x float64) float64 {
	switch typ {
	case wire.Float64:
		return x
	case wire.Float32, wire.Undefined:
		return float64(float32(x))
	case wire.Float16:
		return float64(dag.Float16ToFloat32(dag.Float32ToFloat16(float32(x))))
	case wire.BFloat16:
		return float64(dag.BFloat16ToFloat32(dag.Float32ToBFloat16(float32(x))))
	case wire.Bool:
		if x != 0 {
			return 1
		}
		return 0
	}
	return float64(Wrap(typ, int64(x)))
}

// Wrap reduces an integer to a stored type, as its arithmetic does.
func Wrap(typ wire.DataType, x int64) int64 {
	switch typ {
	case wire.Bool:
		if x != 0 {
			return 1
		}
		return 0
	case wire.Int4:
		return int64(int8(x<<4) >> 4)
	case wire.Uint4:
		return x & 15
	case wire.Int8:
		return int64(int8(x))
	case wire.Uint8:
		return int64(uint8(x))
	case wire.Int16:
		return int64(int16(x))
	case wire.Uint16:
		return int64(uint16(x))
	case wire.Int32:
		return int64(int32(x))
	case wire.Uint32:
		return int64(uint32(x))
	}
	return x
}
