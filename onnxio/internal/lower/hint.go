package lower

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// unknownShape is an input whose shape the file and the caller leave open, and the
// obstacle that says so.
type unknownShape struct {
	in       *wire.ValueInfo
	obstacle int
}

// usualExtents are those that images and sequences have most.
var usualExtents = []int{28, 32, 224, 64, 128, 256, 299, 1}

// smallExtents are those that none of the usual ones fits.
func smallExtents() []int { return lists.Count(2, 47) }

// maxTries bounds how many shapes are tried for a hint, maxHintSpent what lowering
// may compute for each of its two.
const (
	maxTries     = 64
	maxHintSpent = maxSpent / 4
)

// hint looks for shapes of the inputs that are left open with which the model can be
// read, of the extents that its constants have and the usual ones, and names the first
// in its remedies. Obstacles that such a shape removes are dropped. Without one the remedy
// gives no example.
func (l *lowering) hint(order []int) {
	if len(l.unknown) == 0 {
		return
	}
	spent, extents := 0, l.extents()
	for len(extents) > 0 {
		extent := extents[0]
		extents = extents[1:]
		// The second has another batch than the first too, where the model allows it.
		for _, samples := range [][]int{{1}, {2, 1}}[len(l.examples)] {
			opt := l.opt
			opt.InputShape = map[string][]int{}
			maps.Copy(opt.InputShape, l.opt.InputShape)
			example := map[string][]int{}
			for _, u := range l.unknown {
				example[u.in.Name] = tried(u.in, opt.InputShape[u.in.Name], samples, extent)
			}
			maps.Copy(opt.InputShape, example)
			try := lowerOnce(l.file, order, opt)
			spent += min(try.spent, maxSpent) + try.folded
			if len(try.obstacles) == 0 && len(try.outputs)+len(try.roots) > 0 && try.builds() {
				if l.examples = append(l.examples, example); len(l.examples) == 1 {
					extents, spent = farFirst(extents, extent), 0
				}
				break
			}
		}
		if len(l.examples) == 2 || spent > maxHintSpent {
			break
		}
	}
	if len(l.examples) == 0 {
		for _, u := range l.unknown {
			l.obstacles[u.obstacle].Remedy = fmt.Sprintf("give the shape of %s, every axis of it", u.in.Name)
		}
		return
	}
	var known []placed
	for _, u := range l.unknown {
		o := l.obstacles[u.obstacle]
		o.Remedy = fmt.Sprintf("give the shape, for example %s=%s", u.in.Name, shapeWords(l.examples[0][u.in.Name]))
		known = append(known, o)
	}
	l.obstacles = known
}

// farFirst puts extents that are at least three times d, or at most a third of it, before the
// others: what strides make of close ones, such as 28 and 32, may be the same, and so may what two
// samples of 16 have and one of 32. Of those the moderate ones come first, which cost less: larger
// ones than the few pixels of a small image, and smaller ones than a long sequence.
func farFirst(extents []int, d int) []int {
	const few = 64
	class := func(e int) int {
		switch {
		case e < 3*d && d < 3*e:
			return 3
		case e > 16*d:
			return 2
		case (e > d) == (d >= few):
			return 1
		}
		return 0
	}
	out := slices.Clone(extents)
	slices.SortStableFunc(out, func(a, b int) int { return class(a) - class(b) })
	return out
}

// builds reports whether the nodes make a network.
func (l *lowering) builds() bool {
	_, err := l.build()
	return err == nil
}

// shapeWords writes a shape as the command line takes it: 1x784.
func shapeWords(shape []int) string {
	return strings.ReplaceAll(strings.Trim(fmt.Sprint(shape), "[]"), " ", "x")
}

// tried is the shape of an input with an extent in the place of what is left open: of
// the first axis only where no other is, else that has the given number of samples.
func tried(in *wire.ValueInfo, given []int, samples, extent int) []int {
	if !in.HasShape {
		return []int{samples, extent}
	}
	shape := make([]int, len(in.Dims))
	open := 0
	for k, d := range in.Dims {
		switch {
		case d.Known && d.Value > 0:
			shape[k] = int(d.Value)
		case k < len(given) && given[k] > 0:
			shape[k] = given[k]
		default:
			open++
		}
	}
	for k := range shape {
		if shape[k] == 0 && k == 0 && open > 1 {
			shape[k] = samples
		} else if shape[k] == 0 {
			shape[k] = extent
		}
	}
	return shape
}

// extents are the numbers tried: 1 first where the first axis is open, the usual ones
// first for images, else those of the constants' shapes, the most frequent first.
func (l *lowering) extents() []int {
	seen := map[int]int{}
	var own []int
	for i := range l.graph.Initializers {
		for _, d := range l.graph.Initializers[i].Dims {
			if d < 1 || d > 1<<16 {
				continue
			}
			if seen[int(d)]++; seen[int(d)] == 1 {
				own = append(own, int(d))
			}
		}
	}
	slices.SortStableFunc(own, func(a, b int) int { return seen[b] - seen[a] })
	first := []int{1} // of samples
	for _, u := range l.unknown {
		switch behind := slices.ContainsFunc(u.in.Dims[min(1, len(u.in.Dims)):], func(d wire.Dim) bool { return !d.Known || d.Value < 1 }); {
		case behind && len(u.in.Dims) > 2:
			first = usualExtents
		case behind || !u.in.HasShape:
			first = own
		}
	}
	var out []int
	for _, d := range slices.Concat(first, own, usualExtents, smallExtents()) {
		if !slices.Contains(out, d) && len(out) < maxTries {
			out = append(out, d)
		}
	}
	return out
}
