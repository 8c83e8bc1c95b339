package render

import (
	"image/color"
	"slices"

	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"github.com/relupath/relupath/cmd/relupath/internal/view"
)

// Sizes of a Diagram in points.
const (
	boxWidth  = 150
	boxHeight = 28
	rankGap   = 16
	laneGap   = 18
	// bulge is the room right of the boxes for edges that pass others.
	bulge = 60
)

// layout places every node: rank from the top, lane from the left.
type layout struct {
	rank, lane   []int
	ranks, lanes int
}

// place gives each node the rank after its last operand, so that edges point
// downwards, and lanes in the order of the nodes.
func (d *Diagram) place() layout {
	l := layout{rank: make([]int, len(d.Nodes)), lane: make([]int, len(d.Nodes))}
	var used []int
	for i, n := range d.Nodes {
		for _, j := range n.In {
			l.rank[i] = max(l.rank[i], l.rank[j]+1)
		}
		for len(used) <= l.rank[i] {
			used = append(used, 0)
		}
		l.lane[i] = used[l.rank[i]]
		used[l.rank[i]]++
	}
	l.ranks = len(used)
	if l.ranks > 0 {
		l.lanes = slices.Max(used)
	}
	return l
}

func (d *Diagram) size() (w, h float64) {
	l := d.place()
	w = float64(l.lanes*(boxWidth+laneGap) + bulge)
	return max(w, figureWidth), float64(l.ranks*(boxHeight+rankGap)) + 2
}

func (d *Diagram) draw(c canvas) {
	l := d.place()
	at := func(i int) vg.Point {
		return vg.Point{
			X: c.Min.X + 2 + vg.Length(l.lane[i])*(boxWidth+laneGap),
			Y: c.Max.Y - 2 - boxHeight - vg.Length(l.rank[i])*(boxHeight+rankGap),
		}
	}
	for i, n := range d.Nodes {
		for _, j := range n.In {
			d.edge(c, l, at, j, i)
		}
	}
	for i, n := range d.Nodes {
		fill, frame, words1 := boxFill, palette[0], ink
		switch n.Style {
		case view.Outside:
			fill, frame, words1 = dimFill, soft, soft
		case view.Function:
			fill, frame = functionFill, palette[1]
		}
		p := at(i)
		rectangle(c, p.X, p.Y, p.X+boxWidth, p.Y+boxHeight, fill)
		c.StrokeLines(draw.LineStyle{Color: frame, Width: 0.8}, []vg.Point{
			p,
			{X: p.X + boxWidth, Y: p.Y},
			{X: p.X + boxWidth, Y: p.Y + boxHeight},
			{X: p.X, Y: p.Y + boxHeight},
			p,
		})
		center := vg.Point{X: p.X + boxWidth/2, Y: p.Y + boxHeight - 3}
		label(c, words(textSize, words1), center, n.Label, 28)
		detail := n.Detail + " → " + Dims(n.Shape)
		label(c, words(smallSize-0.5, soft), center.Add(vg.Point{Y: -12}), detail, 34)
		tell(c, p, p.Add(vg.Point{X: boxWidth, Y: boxHeight}), n.Label, detail)
	}
}

// label writes one centred line below a point.
func label(c canvas, style text.Style, at vg.Point, s string, n int) {
	style.XAlign, style.YAlign = text.XCenter, text.YTop
	c.FillText(style, at, shorten(s, n))
}

// edge draws from node j down to node i: directly to the next rank, in a bow
// on the right past what lies between.
func (d *Diagram) edge(c canvas, l layout, at func(int) vg.Point, j, i int) {
	a, b := at(j), at(i)
	from := vg.Point{X: a.X + boxWidth/2, Y: a.Y}
	to := vg.Point{X: b.X + boxWidth/2, Y: b.Y + boxHeight}
	var path vg.Path
	c.SetLineStyle(draw.LineStyle{Color: soft, Width: 0.9})
	if l.rank[i] == l.rank[j]+1 {
		path.Move(from)
		mid := (from.Y + to.Y) / 2
		path.CubeTo(vg.Point{X: from.X, Y: mid}, vg.Point{X: to.X, Y: mid}, to)
		c.Stroke(path)
		arrow(c, to, vg.Point{Y: -1}, soft)
		return
	}
	// Longer bows reach further, so that nested ones stay apart.
	out := min(12+4*vg.Length(l.rank[i]-l.rank[j]), bulge-6)
	from = vg.Point{X: a.X + boxWidth, Y: a.Y + boxHeight/2}
	to = vg.Point{X: b.X + boxWidth, Y: b.Y + boxHeight/2}
	right := max(from.X, to.X) + out
	path.Move(from)
	path.CubeTo(vg.Point{X: right, Y: from.Y}, vg.Point{X: right, Y: from.Y}, vg.Point{X: right, Y: (from.Y + to.Y) / 2})
	path.CubeTo(vg.Point{X: right, Y: to.Y}, vg.Point{X: right, Y: to.Y}, to)
	c.Stroke(path)
	arrow(c, to, vg.Point{X: -1}, soft)
}

// arrow draws a head that ends at tip and points along dir.
func arrow(c canvas, tip, dir vg.Point, clr color.Color) {
	const long, wide = 5, 2.2
	back := vg.Point{X: tip.X - long*dir.X, Y: tip.Y - long*dir.Y}
	side := vg.Point{X: wide * dir.Y, Y: wide * dir.X}
	c.FillPolygon(clr, []vg.Point{tip, {X: back.X + side.X, Y: back.Y + side.Y}, {X: back.X - side.X, Y: back.Y - side.Y}})
}
