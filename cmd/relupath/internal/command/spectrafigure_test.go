package command

import (
	"bytes"
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/onnxio"
	"github.com/relupath/relupath/testmodels"
)

// TestSpectraAreDrawn: each layer with eigenvalues has a panel, in which the counts are those of
// the eigenvalues, the law goes through its first one with slope 1 - alpha, and the edge stands at
// mp_edge; a layer of zeros has none.
func TestSpectraAreDrawn(t *testing.T) {
	m, err := onnxio.Decode(testmodels.Bytes("usps_conv"), onnxio.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := analysis.Measures(context.Background(), m.Net, analysis.Options{Names: []string{"tails", "alpha_flattened"}})
	if err != nil {
		t.Fatal(err)
	}
	model := newAudited("usps_conv.onnx", m, r)
	zero := model.Layers[0]
	zero.spectra = []analysis.Spectrum{{Eigenvalues: make([]float64, 9)}}
	model.Layers = append(model.Layers, zero)
	figures := spectraFigures(&model, "", "")
	if len(figures) != 2 || figures[1].Name != "spectra_flattened" {
		t.Fatalf("figures %+v", figures)
	}
	drawn := 0
	for k, f := range figures {
		panels := f.Chart.(*render.Panels).Panels
		at := 0
		for _, l := range model.Layers[:len(model.Layers)-1] {
			for _, s := range l.spectra {
				if s.Flattened != (k == 1) {
					continue
				}
				p := panels[at]
				at++
				if !strings.HasPrefix(p.Title, l.Name) {
					t.Errorf("%s stands above %s", p.Title, l.Name)
				}
				for i, x := range p.Curves[spectrumCurve].X {
					n := 0
					for _, v := range s.Eigenvalues {
						if v >= x {
							n++
						}
					}
					if p.Curves[spectrumCurve].Y[i] != float64(n) {
						t.Errorf("%s: %v eigenvalues from %v on, want %d", l.Name, p.Curves[spectrumCurve].Y[i], x, n)
					}
				}
				alpha, xmin, edge := of(&l, "alpha", s), of(&l, "alpha_xmin", s), of(&l, "mp_edge", s)
				if s.Flattened {
					xmin, edge = s.XMin, s.Edge // were not asked for
				}
				law := p.Curves[powerLawCurve]
				slope := math.Log(law.Y[1]/law.Y[0]) / math.Log(law.X[1]/law.X[0])
				// Logarithms of a ratio near 1 lose digits.
				if law.X[0] != xmin || math.Abs(slope-(1-alpha)) > 1e-9*alpha || !slices.Contains(p.Curves[spectrumCurve].X, xmin) {
					t.Errorf("%s: the law begins at %v with slope %v, want %v and %v", l.Name, law.X[0], slope, xmin, 1-alpha)
				}
				if got := p.Curves[edgeCurve].X; got[0] != edge || got[1] != edge {
					t.Errorf("%s: the edge stands at %v, want %v", l.Name, got, edge)
				}
				drawn++
			}
		}
		if at != len(panels) {
			t.Errorf("%s: %d panels, want %d", f.Name, len(panels), at)
		}
		var file bytes.Buffer
		if err := render.WriteFigure(&file, &f, "svg"); err != nil || !strings.Contains(file.String(), ">Marchenko-Pastur edge<") {
			t.Errorf("%s: %v, or no legend", f.Name, err)
		}
	}
	if drawn < 4 {
		t.Errorf("%d spectra are drawn", drawn)
	}
}

// of is a measure of a layer as a spectrum reads convolutions; NaN where there is none.
func of(l *auditedLayer, name string, s analysis.Spectrum) float64 {
	if s.Flattened {
		name += "_flattened"
	}
	for i := range l.Measures {
		if l.Measures[i].Name == name {
			return l.Measures[i].num.Float64()
		}
	}
	return math.NaN()
}

// TestThinCurves: of many eigenvalues a curve has few points, and no jump that could be seen.
func TestThinCurves(t *testing.T) {
	values := make([]float64, 100_000)
	for i := range values {
		values[i] = math.Pow(float64(i+1)/float64(len(values)), 1.5)
	}
	c := survival(values, 1e-3)
	if len(c.X) > 600 || c.X[0] < 1e-3 || c.X[len(c.X)-1] != 1 || c.Y[len(c.Y)-1] != 1 {
		t.Errorf("%d points from %v to %v", len(c.X), c.X[0], c.X[len(c.X)-1])
	}
	for i := 1; i < len(c.X); i++ {
		wide, high := math.Log(c.X[i]/c.X[i-1])/math.Log(1e3), math.Log(c.Y[i-1]/c.Y[i])/math.Log(float64(len(values)))
		// Halves and thirds of the last few are no gaps of the curve.
		if c.Y[i] > 100 && (wide > 0.02 || high > 0.02) {
			t.Errorf("from %v to %v: a gap of %v and %v", c.X[i-1], c.X[i], wide, high)
		}
	}
}
