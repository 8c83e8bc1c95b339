package command

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/relupath/relupath/cmd/relupath/internal/browser"
	"github.com/relupath/relupath/testmodels"
)

// faults looks at a page as readers do: is it wider than the window, does a table at a desk hide a
// column, is the first number in sight and the first column fixed on a telephone, does anything
// come from elsewhere, and have all words the contrast of WCAG AA with what is behind them. axe, if
// it is there, looks for the rest.
const faults = `
const faults = [], narrow = innerWidth < 500;
if (document.documentElement.scrollWidth > innerWidth) faults.push("wider than the window: " + document.documentElement.scrollWidth);
if (performance.getEntriesByType("resource").length) faults.push("asks for something");
for (const more of document.querySelectorAll("details")) more.open = true;
for (const box of document.querySelectorAll(".scroll")) {
  const name = box.getAttribute("aria-label"), row = box.querySelector("tbody tr");
  if (!narrow && box.scrollWidth > box.clientWidth + 1) faults.push("a column is hidden: " + name + " " + box.scrollWidth);
  const value = row && row.cells.length > 2 && ([...row.cells].slice(1, 5).find(c => c.classList.contains("n")) || row.cells[1]);
  if (value && value.getBoundingClientRect().right > innerWidth) faults.push("the first number is out of sight: " + name);
  for (const head of box.querySelectorAll("th")) {
    const words = head.querySelector("span");
    if (words && words.textContent === "change" && words.getBoundingClientRect().right > innerWidth) faults.push("the change is out of sight: " + name);
  }
  if (row && !box.querySelector(".facts")) {
    const left = row.cells[0].getBoundingClientRect().left;
    box.scrollLeft = 1e6;
    if (Math.abs(row.cells[0].getBoundingClientRect().left - left) > 1) faults.push("the first column moves: " + name);
    box.scrollLeft = 0;
  }
}
const rgb = text => (text.match(/[\d.]+/g) || []).map(Number);
const light = text => rgb(text).slice(0, 3).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = e => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0) return getComputedStyle(e).backgroundColor; } };
let words = 0;
for (const e of document.querySelectorAll("body *")) {
  if (e.tagName === "SCRIPT" || e.tagName === "title" || ![...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())) continue;
  const style = getComputedStyle(e), svg = e instanceof SVGElement;
  const [a, b] = [light(svg ? style.fill : style.color), light(behind(e))].sort((x, y) => y - x);
  words++;
  if ((a + 0.05) / (b + 0.05) < 4.5) faults.push("contrast of " + e.tagName + " " + e.textContent.slice(0, 20));
}
if ((light(getComputedStyle(document.body).backgroundColor) < 0.2) !== matchMedia("(prefers-color-scheme: dark)").matches) faults.push("the other scheme");
done(JSON.stringify({faults: faults.slice(0, 10), dark: matchMedia("(prefers-color-scheme: dark)").matches, words}));
`

// axe judges a page. It does not judge words on gradients, of which these are the edges of tables
// and bars; of plots it would look at every mark, and faults looks at their words.
const axe = `
document.head.appendChild(document.createElement("style")).textContent = ".scroll, .b { background-image: none !important; }";
for (const table of document.querySelectorAll("tbody")) for (const row of [...table.rows].slice(12)) row.remove();
axe.run({exclude: [["svg"]]}).then(r => done(JSON.stringify({
  faults: r.violations.map(v => v.id + ": " + v.nodes[0].html.slice(0, 120)),
  words: r.passes.filter(p => p.id === "color-contrast").reduce((n, p) => n + p.nodes.length, 0),
})), e => done(JSON.stringify({faults: [String(e)]})));
`

// seenPage is what faults and axe see: words is how many they judged.
type seenPage struct {
	Faults []string
	Dark   bool
	Words  int
}

func seen(t *testing.T, frames []browser.Frame, script string) {
	t.Helper()
	saw, console := browser.Frames(t, frames, script, "--window-size=1500,1000")
	if console != "" {
		t.Errorf("the console shows: %s", console)
	}
	for i, f := range frames {
		var got seenPage
		if err := json.Unmarshal([]byte(saw[i]), &got); err != nil {
			t.Errorf("%s at %d: %v: %q", f.Name, f.Width, err, saw[i])
		} else if len(got.Faults) > 0 || got.Words < 8 || script == faults && got.Dark != f.Dark {
			t.Errorf("%s at %d, dark %v, %d words: %s", f.Name, f.Width, f.Dark, got.Words, strings.Join(got.Faults, "; "))
		}
	}
}

// TestPagesAtTwoWidths: pages on a telephone and at a desk, by day and by night.
// RELUPATH_AXE names axe.min.js of axe-core, where it is to judge them too.
func TestPagesAtTwoWidths(t *testing.T) {
	inTestmodels(t)
	for _, name := range []string{"epoch_1.onnx", "epoch_2.onnx", "epoch_10.onnx"} {
		if err := os.WriteFile(name, testmodels.Bytes("toy"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var frames, judged []browser.Frame
	for _, c := range [][2]string{
		{"six", "audit digits_half.onnx digits_residual.onnx mnist_mlp.onnx usps_conv.onnx letter_leaky.onnx cancer_sklearn.onnx"},
		{"one", "audit usps_conv.onnx --per-layer"},
		{"balance", "balance usps_conv.onnx --dry-run"},
		{"tails", "audit usps_conv.onnx --measures tails"},
		{"inspect", "inspect digits_residual.onnx"},
		{"equivalent", "equivalent toy.onnx toy_unbalanced.onnx"},
		{"prune", "prune usps_conv.onnx --sparsity 0.5 -o pruned.onnx"},
		{"diff", "diff toy.onnx toy_unbalanced.onnx"},
		{"large changes", "diff digits_residual.onnx mnist_mlp.onnx"},
		{"run", "audit epoch_1.onnx epoch_2.onnx epoch_10.onnx"},
		{"many", "audit toy.onnx toy_unbalanced.onnx iris_own.onnx iris_sklearn.onnx digits_half.onnx digits_softmax.onnx petal_sklearn.onnx usps_conv.onnx letter_leaky.onnx"},
	} {
		page := output(t, c[1]+" --format html")
		for _, dark := range []bool{false, true} {
			for _, width := range []int{390, 1400} {
				frames = append(frames, browser.Frame{Name: c[0], Page: page, Width: width, Dark: dark})
			}
		}
		judged = append(judged, frames[len(frames)-4], frames[len(frames)-1]) // by day on a telephone, by night at a desk
	}
	seen(t, frames, faults)
	if path := os.Getenv("RELUPATH_AXE"); path != "" {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		seen(t, judged, strings.ReplaceAll(string(source), "</script", `<\/script`)+axe)
	}
}
