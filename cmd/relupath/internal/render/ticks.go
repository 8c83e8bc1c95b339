package render

import (
	"math"
	"strconv"

	"gonum.org/v1/plot/vg"
)

// tick is a mark on an axis; one with a name is long and has a line of the grid.
type tick struct {
	value float64
	name  string
}

func (t tick) length() vg.Length {
	if t.name == "" {
		return tickLength / 2
	}
	return tickLength
}

// ticker returns the ticks of an axis from lo to hi. In each the number of ticks has a bound: so
// far out that float64 has no whole numbers, a loop to the end of the axis would have no end.
type ticker func(lo, hi float64) []tick

// ticks returns the marks of an axis.
func (s Scale) ticks() ticker {
	if s == LogScale {
		return logTicks
	}
	return longTicks
}

// fewTicks marks the axis of a small plot.
func (s Scale) fewTicks() ticker {
	if s == LogScale {
		return few(decadeTicks)
	}
	return few(linearTicks)
}

// logTicks marks an axis of decimal logarithms with powers of ten; below three decades with
// 1, 2 and 5 times them.
func logTicks(lo, hi float64) []tick {
	const most = 8
	var out []tick
	if hi-lo >= 3 {
		step := niceStep((hi - lo) / 6)
		// Adding zero makes a negative zero positive.
		first := math.Ceil(lo/step)*step + 0
		for k := range most {
			if e := first + float64(k)*step; e <= hi {
				out = append(out, tick{e, "1e" + strconv.FormatFloat(e, 'f', 0, 64)})
			}
		}
		return out
	}
	for k := range most {
		e := math.Floor(lo) + float64(k)
		for _, m := range []float64{1, 2, 5} {
			if v := e + math.Log10(m); v >= lo-1e-9 && v <= hi+1e-9 {
				out = append(out, tick{v, tickLabel(m, e)})
			}
		}
	}
	return out
}

// mostDecade is the power of ten beyond which numbers are near the ends of float64.
const mostDecade = 300

// fineLogTicks is logTicks for axes that may cover less than a decade: where 1, 2 and 5 times
// powers of ten are too few, multiples of a step.
func fineLogTicks(lo, hi float64) []tick {
	if hi-lo >= 0.6 {
		return logTicks(lo, hi)
	}
	// Numbers that float64 may not have are multiples of their power of ten.
	decade, behind := 0.0, ""
	if math.Abs(lo) > mostDecade {
		decade = math.Floor(lo)
		behind = "e" + strconv.FormatFloat(decade, 'f', 0, 64)
	}
	out := linearTicks(math.Pow(10, lo-decade), math.Pow(10, hi-decade))
	for i := range out {
		out[i].value = decade + math.Log10(out[i].value)
		out[i].name += behind
	}
	return out
}

// decadeTicks marks powers of ten, and other round numbers where there are less than two.
func decadeTicks(lo, hi float64) []tick {
	const most = 8
	first, last := math.Ceil(lo-1e-9), math.Floor(hi+1e-9)
	if last-first < 1 || last-first > most {
		return fineLogTicks(lo, hi)
	}
	var out []tick
	for k := range most + 1 {
		if e := first + float64(k); e <= last {
			out = append(out, tick{e, tickLabel(1, e)})
		}
	}
	return out
}

// Round numbers on a linear axis: four or five on a short one, up to nine on a long one; whole
// ones where only those have a meaning.
var (
	linearTicks, wholeLinearTicks = multiples(0, 5), multiples(1, 5)
	longTicks, wholeLongTicks     = multiples(0, 8), multiples(1, 8)
)

// multiples marks about so many multiples of a round step that is not below least. Adding zero
// makes a negative zero positive.
func multiples(least, about float64) ticker {
	return func(lo, hi float64) []tick {
		width := (hi - lo) / about
		unit := max(least, math.Pow(10, math.Floor(math.Log10(width))))
		step := unit * niceStep(width/unit)
		var out []tick
		const most = 12
		for k := math.Ceil(lo / step); k*step <= hi && len(out) < most; k++ {
			out = append(out, tick{k * step, strconv.FormatFloat(k*step+0, 'g', 6, 64)})
		}
		return out
	}
}

// few names at most four of the marks of an axis, at regular distances.
func few(all ticker) ticker {
	return func(lo, hi float64) []tick {
		ticks := all(lo, hi)
		const most = 4
		every := max(1, (len(ticks)+most-1)/most)
		for i := range ticks {
			if i%every != 0 {
				ticks[i].name = ""
			}
		}
		return ticks
	}
}

// categories marks places with names, the first at the top, of most letters.
func categories(names []string, most int) ticker {
	return func(float64, float64) []tick {
		out := make([]tick, len(names))
		for i, s := range names {
			out[i] = tick{float64(len(names) - 1 - i), shorten(s, most)}
		}
		return out
	}
}

// fixedTicks marks given places, and names every second where they are many.
func fixedTicks(places []float64, scale Scale) ticker {
	return func(float64, float64) []tick {
		every := 1 + len(places)/7
		var out []tick
		for i, x := range places {
			if v, ok := scale.place(x); ok {
				t := tick{value: v}
				if i%every == 0 {
					t.name = tickLabel(x, 0)
				}
				out = append(out, t)
			}
		}
		return out
	}
}

// niceStep returns the smallest of 1, 2, 5, 10, 20... that is at least x.
func niceStep(x float64) float64 {
	ten := 1.0
	for ; ten < x; ten *= 10 {
		for _, m := range []float64{1, 2, 5} {
			if m*ten >= x {
				return m * ten
			}
		}
	}
	return ten
}

// tickLabel writes m times 10^e.
func tickLabel(m, e float64) string {
	if fixed(int64(e)) {
		return strconv.FormatFloat(m*math.Pow(10, e), 'f', max(0, int(-e)), 64)
	}
	return strconv.FormatFloat(m, 'f', 0, 64) + "e" + strconv.FormatFloat(e, 'f', 0, 64)
}
