package render

import (
	"fmt"
	"html/template"
	"strings"

	"github.com/relupath/relupath/analysis/scaled"
)

// spark is a small plot in a cell of a page: one measure of several models.
type spark struct {
	names  []string
	values []scaled.Num
	joined bool
}

// SparkBars is a cell with a bar for each of several things; other formats leave it empty.
func SparkBars(names []string, values []scaled.Num) Cell {
	return Cell{spark: &spark{names, values, false}}
}

// SparkLine is a cell with a line over a sequence; other formats leave it empty.
func SparkLine(names []string, values []scaled.Num) Cell {
	return Cell{spark: &spark{names, values, true}}
}

// Sizes of a spark in its own units.
const (
	sparkWidth  = 88
	sparkHeight = 20
)

// svg draws it. The lowest bar is seen; what has no place is left out.
func (s *spark) svg() template.HTML {
	series := []Series{{Values: s.values}}
	axis := scaleOf(series)
	lo, hi := extremes(series, axis)
	if axis == LinearScale && !s.joined {
		lo, hi = min(lo, 0), max(hi, 0)
	}
	if hi == lo {
		lo, hi = lo-1, hi+1
	}
	step := sparkWidth / float64(max(len(s.values), 1))
	var shapes, hits, path strings.Builder
	pen := "M"
	for i, v := range s.values {
		x := float64(i) * step
		if at, ok := axis.at(v); ok {
			y := 2 + (sparkHeight-4)*(1-(at-lo)/(hi-lo))
			if s.joined {
				fmt.Fprintf(&path, "%s%.1f %.1f", pen, x+step/2, y)
				pen = "L"
			} else {
				fmt.Fprintf(&shapes, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, x+0.1*step, y, 0.8*step, sparkHeight-1-y)
			}
		} else {
			pen = "M"
		}
		fmt.Fprintf(&hits, `<rect class="h" x="%.1f" y="0" width="%.1f" height="%d"><title>%s: %s</title></rect>`,
			x, step, sparkHeight, template.HTMLEscapeString(Visible(s.names[i])), Number(v).page(digits))
	}
	if s.joined {
		fmt.Fprintf(&shapes, `<path d="%s"/>`, &path)
	}
	return template.HTML(fmt.Sprintf(`<svg class="spark" viewBox="0 0 %d %d" preserveAspectRatio="none" role="img" aria-label="over the models">%s%s</svg>`,
		sparkWidth, sparkHeight, &shapes, &hits))
}
