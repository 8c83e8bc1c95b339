package dataset

import (
	"fmt"
	"slices"

	"github.com/relupath/relupath/internal/words"
)

// features are all examples' values, row-major; one of the slices is in use.
type features struct {
	u8  []uint8
	f32 []float32
	f64 []float64
}

// table is what a reader returns: examples as the file has them.
type table struct {
	file    string // for errors
	name    string // for the reader of a report
	split   Split  // where the format has splits
	x       features
	n       int
	all     int // in the file, of which n are here; arrays only
	shape   []int
	pixels  bool   // values are intensities, to be scaled by 1/255
	layout  Layout // where the format prescribes one
	labels  []int
	classes int
	names   []string // of the classes, where the file has them
	targets []float64
	width   int // targets an example
	// unlisted says why labels or targets are no class labels without a list of classes.
	unlisted error
	// parts says of each example which split it is in, where a column does.
	parts []Split
}

// maxChannels is how many channels an image of unknown layout may have: grey,
// colour, and either with transparency.
const maxChannels = 4

// guess tells the layout from the shape: the axis that is short enough to be
// the channels. It returns nothing where both or neither are.
func guess(shape []int) Layout {
	first, last := shape[0] <= maxChannels, shape[2] <= maxChannels
	switch {
	case first && !last:
		return LayoutCHW
	case last && !first:
		return LayoutHWC
	}
	return ""
}

// arrange brings the examples into the layout wanted.
func (t *table) arrange(want Layout) error {
	if want == "" {
		return nil
	}
	if len(t.shape) != 3 {
		return wrong(t.file, "", fmt.Sprintf("transpose: an example has shape %v, want three axes", t.shape), "leave transpose out")
	}
	if t.layout == "" {
		t.layout = guess(t.shape)
	}
	if want == LayoutSwap {
		if want = map[Layout]Layout{LayoutCHW: LayoutHWC, LayoutHWC: LayoutCHW}[t.layout]; want == "" {
			return wrong(t.file, "", fmt.Sprintf("transpose: the shape %v does not tell which axis holds the channels", t.shape),
				"write transpose=chw or transpose=hwc, the layout wanted")
		}
	}
	if t.layout == want {
		return nil
	}
	perm := [3]int{1, 2, 0} // chw to hwc, which is also the guess for an unclear shape
	if want == LayoutCHW {
		perm = [3]int{2, 0, 1}
	}
	t.permute(perm)
	t.layout = want
	return nil
}

// permute reorders the three axes of every example: axis i of the result is
// axis perm[i] of the source.
func (t *table) permute(perm [3]int) {
	stride := []int{t.shape[1] * t.shape[2], t.shape[2], 1}
	pick := func(of []int) []int { return []int{of[perm[0]], of[perm[1]], of[perm[2]]} }
	t.shape = pick(t.shape)
	from := offsets(t.shape, pick(stride))
	gather(t.x.u8, from)
	gather(t.x.f32, from)
	gather(t.x.f64, from)
}

// gather makes value i of each example that at from[i].
func gather[T any](data []T, from []int) {
	scratch := make([]T, len(from))
	for row := range slices.Chunk(data, len(from)) {
		for i, k := range from {
			scratch[i] = row[k]
		}
		copy(row, scratch)
	}
}

// normaliser computes (scale*v - mean) / std; value j of an example belongs to
// channel (j / inner) mod len(mean).
type normaliser struct {
	scale     float64
	mean, std []float64
	inner     int
}

// value maps one stored value. The product is rounded before the subtraction,
// also on machines that could fuse the two, so that every platform agrees.
func (n *normaliser) value(v float64, channel int) float64 {
	return (float64(v*n.scale) - n.mean[channel]) / n.std[channel]
}

// identity says whether values pass unchanged.
func (n *normaliser) identity() bool {
	return n.scale == 1 && len(n.mean) == 1 && n.mean[0] == 0 && n.std[0] == 1
}

// normaliser finds what the spec's numbers apply to.
func (t *table) normaliser(spec Spec) (normaliser, error) {
	n := normaliser{scale: spec.Scale, mean: spec.Mean, std: spec.Std, inner: 1}
	if n.scale == 0 {
		n.scale = 1
		if t.pixels {
			n.scale = 1. / 255
		}
	}
	channels := max(len(n.mean), len(n.std), 1)
	n.mean = spread(n.mean, channels, 0)
	n.std = spread(n.std, channels, 1)
	if n.mean == nil || n.std == nil {
		return n, wrong(t.file, "", fmt.Sprintf("%s and %d standard deviations", words.Count(len(spec.Mean), "mean"), len(spec.Std)), "give one of each, or one a channel")
	}
	layout := t.layout
	if layout == "" && len(t.shape) == 3 {
		layout = LayoutHWC
		if t.shape[0] == channels {
			layout = LayoutCHW
		}
	}
	have := t.shape[len(t.shape)-1]
	if layout == LayoutCHW && channels > 1 {
		have, n.inner = t.shape[0], t.shape[1]*t.shape[2]
	}
	if channels > 1 && channels != have {
		return n, wrong(t.file, "", fmt.Sprintf("mean or std holds %s, but an example of shape %v has %s", words.Count(channels, "number"), t.shape, words.Count(have, "channel")),
			"give one number, or one a channel")
	}
	return n, nil
}

// spread repeats one number, or the default for none, over all channels; it
// returns nil for any other count than all.
func spread(list []float64, channels int, otherwise float64) []float64 {
	switch len(list) {
	case channels:
		return list
	case 0:
		return slices.Repeat([]float64{otherwise}, channels)
	case 1:
		return slices.Repeat(list, channels)
	}
	return nil
}
