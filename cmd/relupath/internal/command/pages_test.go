package command

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relupath/relupath/cmd/relupath/internal/browser"
)

// look clicks twice on every head of every table, measures the plots and the
// page, and writes what it saw into the document's title.
const look = `
let heads = 0, unsorted = 0, plots = 0, empty = 0;
for (const table of document.querySelectorAll("table")) {
  for (const head of table.tHead ? table.tHead.rows[0].cells : []) {
    heads++;
    for (const way of ["ascending", "descending"]) {
      head.querySelector("button").click();
      const keys = [...table.tBodies[0].rows].map(r => Number(r.cells[head.cellIndex].dataset.k));
      const sorted = keys.every((k, i) => i === 0 || (way === "ascending" ? keys[i - 1] <= k : keys[i - 1] >= k));
      if (!sorted || head.getAttribute("aria-sort") !== way) unsorted++;
    }
  }
}
for (const svg of document.querySelectorAll("figure svg")) {
  const box = svg.getBoundingClientRect();
  plots++;
  if (box.width < 100 || box.height < 50 || svg.querySelectorAll("path").length < 3 || svg.querySelectorAll("text").length < 2) empty++;
}
document.title = JSON.stringify({
  heads, unsorted, plots, empty,
  requests: performance.getEntriesByType("resource").length,
  wide: document.documentElement.scrollWidth > innerWidth,
});
`

// sawPage is what look sees.
type sawPage struct {
	Heads, Unsorted, Plots, Empty, Requests int
	Wide                                    bool
}

// TestPagesInABrowser opens pages of real models, on a desk, in the narrowest
// window that Chromium opens and in the dark: every table sorts by every column,
// every plot is drawn, nothing is asked of any host, no page is wider than its
// window, and the console stays empty. RELUPATH_KEEP keeps the pages in a folder.
func TestPagesInABrowser(t *testing.T) {
	attention, err := filepath.Abs("testdata/shapes/attention.onnx")
	if err != nil {
		t.Fatal(err)
	}
	inTestmodels(t)
	for _, c := range []struct {
		name, line, flag string
		// heads and plots are how many the page has.
		heads, plots int
	}{
		// 6 columns of measures, 6 of more, 8 and 5 of layers; plots of three norms of the layers, of the
		// incoming norms and of the network.
		{"audit", "audit digits_residual.onnx --per-layer", "--window-size=500,900", 25, 5},
		// 6 of measures, 16 of two tables of layers; 6 spectra.
		{"tails", "audit digits_residual.onnx --measures tails --per-layer", "--window-size=500,900", 22, 8},
		// Model, 4 facts, 2 path norms, a group norm; a plot for each.
		{"compare", "audit . --p 1,2 --group 2:inf --measures path_norm,group_norm", "--window-size=1200,900", 8, 3},
		// 4 of before and after, 8 of layers, 5 of outputs; incoming norms.
		{"balance", "balance usps_conv.onnx --exact --dry-run", "--blink-settings=preferredColorScheme=0", 17, 1},
		// 12 of measures, 8 of segments, 13 of layers.
		{"segments", "audit " + attention + " --input-shape x=1x5x4 --per-layer", "--window-size=500,900", 33, 5},
		// The same without a shape: no segments.
		{"open", "audit " + attention + " --per-layer", "--window-size=500,900", 25, 5},
		// 10 of nodes, 4 of segments, 5 of functions, 4 of what is pinned.
		{"functions", "inspect " + attention + " --input-shape x=1x5x4", "--window-size=700,900", 23, 1},
		{"study", "audit mnist_mlp.onnx --rescalings 3", "--window-size=500,900", 8, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			page := output(t, c.line+" --format html")
			if keep := os.Getenv("RELUPATH_KEEP"); keep != "" {
				if err := os.WriteFile(filepath.Join(keep, c.name+".html"), []byte(page), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			title, console := browser.Run(t, page, look, c.flag)
			if console != "" {
				t.Errorf("the console shows: %s", console)
			}
			var got sawPage
			if err := json.NewDecoder(strings.NewReader(title)).Decode(&got); err != nil {
				t.Fatalf("%v: %s", err, title)
			}
			if diff := cmp.Diff(sawPage{Heads: c.heads, Plots: c.plots}, got); diff != "" {
				t.Errorf("the page differs (-want +got):\n%s", diff)
			}
		})
	}
}
