package onnxio

import (
	"fmt"
	"maps"
	"slices"
	"strings"

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

// maxTries bounds how many shapes are tried for a hint, maxHintSpent what lowering
// may compute for it.
const (
	maxTries     = 32
	maxHintSpent = maxSpent / 4
)

// hint names shapes of the inputs that are left open in its remedies: the first with
// which the model can be read, of the extents that its constants have and the usual
// ones. Obstacles that such a shape removes are dropped. Without one the remedy gives
// no example.
func (l *lowering) hint(order []int) {
	if len(l.unknown) == 0 {
		return
	}
	spent := 0
	for _, extent := range l.extents() {
		opt := l.opt
		opt.InputShape = maps.Clone(l.opt.InputShape)
		if opt.InputShape == nil {
			opt.InputShape = map[string][]int{}
		}
		for _, u := range l.unknown {
			opt.InputShape[u.in.Name] = tried(u.in, opt.InputShape[u.in.Name], extent)
		}
		try := lowerOnce(l.file, order, opt)
		if len(try.obstacles) == 0 && len(try.outputs) > 0 && (&Model{file: l.file}).build(try) == nil && len(try.obstacles) == 0 {
			var known []placed
			for _, u := range l.unknown {
				o := l.obstacles[u.obstacle]
				o.Remedy = fmt.Sprintf("give the shape, for example %s=%s", u.in.Name, strings.ReplaceAll(strings.Trim(fmt.Sprint(opt.InputShape[u.in.Name]), "[]"), " ", "x"))
				known = append(known, o)
			}
			l.obstacles = known
			return
		}
		if spent += min(try.spent, maxSpent); spent > maxHintSpent {
			break
		}
	}
	for _, u := range l.unknown {
		l.obstacles[u.obstacle].Remedy = fmt.Sprintf("give the shape of %s, every axis of it", u.in.Name)
	}
}

// tried is the shape of an input with an extent in the place of what is left open: of
// the first axis only where no other is.
func tried(in *wire.ValueInfo, given []int, extent int) []int {
	if !in.HasShape {
		return []int{1, extent}
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
			shape[k] = 1
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
	for _, d := range slices.Concat(first, own, usualExtents) {
		if !slices.Contains(out, d) && len(out) < maxTries {
			out = append(out, d)
		}
	}
	return out
}
