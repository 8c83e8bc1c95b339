package experiment

// Report is what an experiment shows, ready to be written.
type Report struct {
	// Name is the experiment's, Title a heading.
	Name, Title string
	Figures     []Figure
	Tables      []Table
	Claims      []Claim
	// Notes are sentences on what was done.
	Notes []string
	// Curves has every number behind the figures, one observation a row.
	Curves Table
}

// Figure is a group of plots with one legend.
type Figure struct {
	// Name is the stem of its files.
	Name, Title, Caption string
	// Legend names the curves.
	Legend []Key
	Panels []Panel
}

// Key is an entry of a legend. Curves of one Colour belong together, Dash tells
// them apart.
type Key struct {
	Name         string
	Colour, Dash int
}

// Scale is the scale of an axis.
type Scale uint8

// The scales.
const (
	Linear Scale = iota
	Log
)

// Panel is one plot.
type Panel struct {
	Title string
	// X and Y name the axes, with units.
	X, Y           string
	XScale, YScale Scale
	// XTicks are the places that are marked; nil leaves them to the drawing.
	XTicks []float64
	Curves []Curve
}

// Curve is a line with a band: Y is the mean over seeds, Lo and Hi are the
// smallest and the largest value. NaN stands where there is none.
type Curve struct {
	// Key is the index of its entry in Figure.Legend.
	Key          int
	X, Y, Lo, Hi []float64
}

// Percent is a share of a hundred in a Table; two decimals tell the examples of
// a test set of ten thousand apart.
type Percent float64

// Table has cells that are string, int, float64, Percent, or nil for none; NaN
// is none too.
type Table struct {
	Title   string
	Columns []string
	// Keys is the number of leading columns that name a row.
	Keys int
	Rows [][]any
}

// Add appends a row.
func (t *Table) Add(cells ...any) { t.Rows = append(t.Rows, cells) }

// Verdict says whether a claim holds in the runs.
type Verdict string

// The verdicts.
const (
	Holds       Verdict = "holds"
	DoesNotHold Verdict = "does not hold"
	// NotTested says that the runs do not reach what the claim is about.
	NotTested Verdict = "not tested"
)

func verdict(holds bool) Verdict {
	if holds {
		return Holds
	}
	return DoesNotHold
}

// Claim is a sentence of a paper beside what the runs measured.
type Claim struct {
	Text, Source string
	// Criterion is the test in words, with its threshold, Measured the numbers.
	Criterion, Measured string
	Verdict             Verdict
}
