package render

import (
	"fmt"
	"html/template"
	"strings"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// hovered is the canvas of a page: marks tell their values to those who point at them.
type hovered struct {
	*vgsvg.Canvas
	height vg.Length
	hits   strings.Builder
}

// tell says in lines what a rectangle of a drawing shows, where it is drawn into a page.
func tell(c canvas, from, to vg.Point, says ...string) {
	under := c.Canvas
	for {
		part, ok := under.(draw.Canvas) // plots draw on parts of parts
		if !ok {
			break
		}
		under = part.Canvas
	}
	h, ok := under.(*hovered)
	if !ok {
		return
	}
	fmt.Fprintf(&h.hits, `<rect class="hit" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%s</title></rect>`,
		min(from.X, to.X), h.height-max(from.Y, to.Y), max(from.X-to.X, to.X-from.X), max(from.Y-to.Y, to.Y-from.Y),
		template.HTMLEscapeString(strings.Join(allVisible(says), "\n")))
}
