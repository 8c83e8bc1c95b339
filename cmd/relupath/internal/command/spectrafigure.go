package command

import (
	"fmt"
	"math"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/scaled"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/cmd/relupath/internal/view"
)

// The curves of a spectrum.
const (
	spectrumCurve = iota
	powerLawCurve
	edgeCurve
)

const spectraCaption = "How many eigenvalues of W^T W are at least as large as each, on logarithmic axes (blue); the power law fitted to the largest, from x_min on (orange); the upper edge of the Marchenko-Pastur law fitted to all (green, upright). Eigenvalues far below the largest are not shown."

// spectraFigures draws the spectrum of each layer, a figure for each reading of convolutions that
// was measured.
func spectraFigures(m *auditedModel, stem, of string) []render.Figure {
	var out []render.Figure
	for _, flattened := range []bool{false, true} {
		f := render.Figure{Name: stem + "spectra", Title: "Spectra of the layers" + of, Caption: spectraCaption}
		if flattened {
			f.Name, f.Title = f.Name+"_flattened", f.Title+", kernels flattened"
		}
		p := &render.Panels{Many: true, Legend: []render.LegendKey{
			spectrumCurve: {Name: "eigenvalues"}, powerLawCurve: {Name: "power law", Colour: 1}, edgeCurve: {Name: "Marchenko-Pastur edge", Colour: 2},
		}}
		for i := range m.Layers {
			for k := range m.Layers[i].spectra {
				s := &m.Layers[i].spectra[k]
				top := s.Eigenvalues[len(s.Eigenvalues)-1]
				if s.Flattened == flattened && top > 0 && !math.IsInf(top, 0) && len(p.Panels) < view.MaxBoxes {
					p.Panels = append(p.Panels, spectrumPanel(m.Layers[i].Name, s))
				}
			}
		}
		if p.Panels != nil {
			f.Chart = p
			out = append(out, f)
		}
	}
	return out
}

// spectrumPanel draws one spectrum.
func spectrumPanel(name string, s *analysis.Spectrum) render.Panel {
	n := len(s.Eigenvalues)
	top := s.Eigenvalues[n-1]
	p := render.Panel{
		Title: name, XAxis: "eigenvalue", YAxis: "number at least as large",
		XScale: render.LogScale, YScale: render.LogScale,
		Says: []string{name, fmt.Sprintf("%s eigenvalues, the largest %s", render.Count(n), briefly(top))},
	}
	const seen = 1e-3 // of the largest
	from := seen * top
	if s.Alpha > 0 {
		from = min(from, s.XMin)
	}
	p.Curves = append(p.Curves, survival(s.Eigenvalues, from))
	if s.Alpha > 0 {
		p.Title += fmt.Sprintf(", alpha %.2f", s.Alpha)
		p.Says = append(p.Says, fmt.Sprintf("power law: alpha %s from x_min %s on, %s eigenvalues", briefly(s.Alpha), briefly(s.XMin), render.Count(s.Tail)))
		tail := float64(s.Tail)
		p.Curves = append(p.Curves, render.Curve{
			Key: powerLawCurve, X: []float64{s.XMin, top}, Y: []float64{tail, tail * math.Pow(top/s.XMin, 1-s.Alpha)},
		})
	}
	if s.Edge > 0 {
		p.Says = append(p.Says, fmt.Sprintf("Marchenko-Pastur edge %s, %s spikes", briefly(s.Edge), render.Count(s.Spikes)))
		p.Curves = append(p.Curves, render.Curve{Key: edgeCurve, X: []float64{s.Edge, s.Edge}, Y: []float64{1, float64(n)}})
	}
	return p
}

func briefly(x float64) string { return render.Brief(scaled.New(x)) }

// survival is the number of eigenvalues that are at least as large as each, of those from a place
// on: points that lie closer together than can be seen are left out.
func survival(values []float64, from float64) render.Curve {
	const places = 200 // along each axis
	n := len(values)
	first := 0
	for first < n-1 && !(values[first] >= from && values[first] > 0) {
		first++
	}
	c := render.Curve{Key: spectrumCurve}
	wide, high := math.Log(values[n-1]/values[first])/places, math.Log(float64(n-first))/places
	lastX, lastY := math.Inf(-1), math.Inf(1)
	for i := first; i < n; i++ {
		x, y := math.Log(values[i]), math.Log(float64(n-i))
		if i > first && values[i] == values[i-1] || i < n-1 && x-lastX < wide && lastY-y < high {
			continue
		}
		c.X, c.Y = append(c.X, values[i]), append(c.Y, float64(n-i))
		lastX, lastY = x, y
	}
	return c
}
