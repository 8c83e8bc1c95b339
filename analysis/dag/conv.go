package dag

import "fmt"

// Conv is a convolution over (channels, spatial...), or a transposed one. Its
// weights are shared over positions: they count once as parameters and in row
// norms, and once a position as edges of paths.
type Conv struct {
	// W is stored (OutChannels, InChannels/Groups, kernel...), or transposed
	// (InChannels, OutChannels/Groups, kernel...).
	W Use
	// InChannels and OutChannels are counted over all groups.
	InChannels, OutChannels int
	// Groups is the number of groups, at least 1.
	Groups int
	// Window is the geometry. Of a transposed convolution it is the one of the
	// convolution whose transpose it is: Window.In is the value's shape and
	// Window.Out the operand's.
	Window Window
	// Transposed makes it a ConvTranspose.
	Transposed bool
}

func (c *Conv) spatial() (in, out []int) {
	in, out = c.Window.In, c.Window.Out()
	if c.Transposed {
		in, out = out, in
	}
	return in, out
}

// Out implements Map.
func (c *Conv) Out() Axis {
	_, out := c.spatial()
	return Axis{1, c.OutChannels, Size(out)}
}

// In implements Map.
func (c *Conv) In() Axis {
	in, _ := c.spatial()
	return Axis{1, c.InChannels, Size(in)}
}

// Weight implements Map.
func (c *Conv) Weight() *Use { return &c.W }

// Mixes implements Map.
func (c *Conv) Mixes() int { return c.Groups }

// Slides implements Map.
func (c *Conv) Slides() (*Window, bool) { return &c.Window, c.Transposed }

// Positions implements Map.
func (c *Conv) Positions() int { return Size(c.Window.Out()) }

func (c *Conv) matrix() (Matrix, int) {
	k := Size(c.Window.Kernel)
	return Matrix{Rows: c.OutChannels / c.Groups, Cols: c.InChannels / c.Groups * k, Kernel: k, Turned: c.Transposed}, c.Groups
}

// String implements Map.
func (c *Conv) String() string {
	s := fmt.Sprintf("Conv %dx%d %s", c.OutChannels, c.InChannels/c.Groups, times(c.Window.Kernel))
	if c.Transposed {
		return "Transposed" + s
	}
	return s
}

func (c *Conv) check() error {
	if c.W.Param == nil {
		return fmt.Errorf("a convolution without a weight")
	}
	if err := c.Window.check(); err != nil {
		return err
	}
	g := c.Groups
	if g < 1 || c.InChannels < 1 || c.OutChannels < 1 || c.InChannels%g != 0 || c.OutChannels%g != 0 {
		return fmt.Errorf("%d groups of %d input and %d output channels", g, c.InChannels, c.OutChannels)
	}
	want, ok := product(c.OutChannels, c.InChannels/g, Size(c.Window.Kernel))
	if !ok || c.W.Param.Len() != want {
		return errLength(fmt.Sprintf("weight %q", c.W.Param.Name), c.W.Param.Len(), want)
	}
	return nil
}

// WithWeight implements Map.
func (c *Conv) WithWeight(u Use) Map {
	d := *c
	d.W = u
	return &d
}

func (c *Conv) edit(a, b []float64) *scaling {
	k := Size(c.Window.Kernel)
	if c.Transposed {
		return &scaling{base: c.W.Param, a: b, b: a, B: c.OutChannels / c.Groups, K: k, groups: c.Groups}
	}
	return &scaling{base: c.W.Param, a: a, b: b, B: c.InChannels / c.Groups, K: k, groups: c.Groups}
}

// Matrix returns the sizes of one group's matrix. The weights of a group lie
// together as outer x (inner * kernel): outer counts the channels at the
// window's outputs, inner those at its inputs. A convolution goes from inner to
// outer, a transposed one the other way; so do their transposes, the backward
// programmes.
func (c *Conv) Matrix() (outer, inner, kernel int) {
	outer, inner = c.OutChannels/c.Groups, c.InChannels/c.Groups
	if c.Transposed {
		outer, inner = inner, outer
	}
	return outer, inner, Size(c.Window.Kernel)
}

func (c *Conv) elements(f func(row, col, out, in int, w float64)) {
	nOut, nIn := c.Out().Inner, c.In().Inner
	outer, inner, kernel := c.Matrix()
	c.Window.Taps(func(o, p, k int) {
		for g := range c.Groups {
			for a := range outer {
				for b := range inner {
					w := c.W.Param.At(((g*outer+a)*inner+b)*kernel + k)
					if c.Transposed {
						row, col := g*inner+b, g*outer+a
						f(row, col, row*nOut+p, col*nIn+o, w)
					} else {
						row, col := g*outer+a, g*inner+b
						f(row, col, row*nOut+o, col*nIn+p, w)
					}
				}
			}
		}
	})
}
