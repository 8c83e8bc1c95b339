package command

import (
	"fmt"
	"math"
	"testing"

	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
)

// TestMarks checks that every value equal to the best or to the worst is
// marked, since a reader takes an unmarked one for worse than a marked one.
func TestMarks(t *testing.T) {
	const best, worst, none = render.Best, render.Worst, render.Unmarked
	huge := scaled.FromLog2(5000)
	for _, c := range []struct {
		name, measure string
		nums          []scaled.Num
		want          []render.Mark
	}{
		{"one each", "path_norm", nums(3, 1, 2), []render.Mark{worst, best, none}},
		{"two are the best", "path_norm", nums(1, 2, 3, 1+1e-9), []render.Mark{best, none, worst, best}},
		{"two are the worst", "path_norm", nums(3, 1, 2, 3-1e-8), []render.Mark{worst, best, none, worst}},
		{"a hair more than rounding", "path_norm", nums(1, 3, 1+1e-5), []render.Mark{best, worst, none}},
		{"margins", "margin", nums(1, -2, 1), []render.Mark{best, worst, best}},
		{"zeros", "spectral", nums(0, 2, 0), []render.Mark{best, worst, best}},
		{"undefined", "spectral", nums(math.NaN(), 2, 1, math.Inf(1)), []render.Mark{none, worst, best, none}},
		{"beyond float64", "path_norm", []scaled.Num{huge, scaled.New(1), huge.MulFloat(1 + 1e-9)}, []render.Mark{worst, best, worst}},
		{"all equal", "path_norm", nums(1, 1+1e-9, 1), make([]render.Mark, 3)},
		{"no better end", "zero_share", nums(0, 1), make([]render.Mark, 2)},
		{"a fact", "", nums(1, 2), make([]render.Mark, 2)},
		{"nothing", "path_norm", nums(math.NaN(), math.NaN()), make([]render.Mark, 2)},
	} {
		t.Run(c.name, func(t *testing.T) {
			col := column{name: c.measure, nums: c.nums}
			for _, x := range c.nums {
				col.cells = append(col.cells, render.Number(x))
			}
			col.mark()
			for i, x := range c.nums {
				// As text, in which NaN equals NaN.
				got, want := fmt.Sprint(col.cells[i]), fmt.Sprint(render.Number(x).Marked(c.want[i]))
				if got != want {
					t.Errorf("value %d: got %s, want %s", i, got, want)
				}
			}
		})
	}
}

func nums(xs ...float64) []scaled.Num {
	out := make([]scaled.Num, len(xs))
	for i, x := range xs {
		out[i] = scaled.New(x)
	}
	return out
}
