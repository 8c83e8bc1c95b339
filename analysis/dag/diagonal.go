package dag

import (
	"fmt"
)

// Diagonal maps each element to itself; the weights, if any, are the layer's
// multiplying stages (BatchNormalization, Mul by a constant). Without them its
// edges are identity edges.
type Diagonal struct {
	// Axis says which elements belong to one unit (a channel, or an element
	// each when Outer and Inner are 1).
	Axis Axis
}

// Out implements Map.
func (d *Diagonal) Out() Axis { return d.Axis }

// In implements Map.
func (d *Diagonal) In() Axis { return d.Axis }

// Weight implements Map: none.
func (d *Diagonal) Weight() *Use { return nil }

// Mixes implements Map.
func (d *Diagonal) Mixes() int { return 0 }

// Slides implements Map.
func (d *Diagonal) Slides() (*Window, bool) { return nil, false }

// Positions implements Map: none.
func (d *Diagonal) Positions() int { return 0 }

func (d *Diagonal) matrix() (Matrix, int) { return Matrix{}, 0 }

// String implements Map.
func (d *Diagonal) String() string { return fmt.Sprintf("Diagonal %d", d.Axis.N) }

func (d *Diagonal) check() error { return d.Axis.check() }

// WithWeight implements Map: the same.
func (d *Diagonal) WithWeight(Use) Map { return d }

func (d *Diagonal) edit(a, b []float64) *scaling { return nil }

func (d *Diagonal) elements(f func(row, col, out, in int, w float64)) {
	for e := range d.Axis.Len() {
		f(d.Axis.At(e), d.Axis.At(e), e, e, 1)
	}
}

// Average maps each output position to the weighted sum of its window's
// elements within one channel: average pooling. Its weights are fixed, so it
// ties a channel's units before and after.
type Average struct {
	// Channels is the number of leading channels.
	Channels int
	// Window is the geometry.
	Window Window
	// Weights holds the weight of each output position (1 over the elements that
	// it averages).
	Weights []float64
}

// Out implements Map.
func (v *Average) Out() Axis { return Axis{1, v.Channels, Size(v.Window.Out())} }

// In implements Map.
func (v *Average) In() Axis { return Axis{1, v.Channels, Size(v.Window.In)} }

// Weight implements Map: none.
func (v *Average) Weight() *Use { return nil }

// Mixes implements Map.
func (v *Average) Mixes() int { return 0 }

// Slides implements Map.
func (v *Average) Slides() (*Window, bool) { return &v.Window, false }

// Positions implements Map: none.
func (v *Average) Positions() int { return 0 }

func (v *Average) matrix() (Matrix, int) { return Matrix{}, 0 }

// String implements Map.
func (v *Average) String() string { return "AveragePool " + times(v.Window.Kernel) }

func (v *Average) check() error {
	if err := v.Window.check(); err != nil {
		return err
	}
	if v.Channels < 1 {
		return fmt.Errorf("average pooling of %d channels", v.Channels)
	}
	if got, want := len(v.Weights), Size(v.Window.Out()); got != want {
		return errLength("average weights", got, want)
	}
	return nil
}

// WithWeight implements Map: the same.
func (v *Average) WithWeight(Use) Map { return v }

func (v *Average) edit(a, b []float64) *scaling { return nil }

func (v *Average) elements(f func(row, col, out, in int, w float64)) {
	nOut, nIn := v.Out().Inner, v.In().Inner
	v.Window.Taps(func(out, in, _ int) {
		for c := range v.Channels {
			f(c, c, c*nOut+out, c*nIn+in, v.Weights[out])
		}
	})
}
