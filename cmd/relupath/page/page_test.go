package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/relupath/relupath/cmd/relupath/internal/browser"
	"github.com/relupath/relupath/cmd/relupath/internal/command"
	"github.com/relupath/relupath/testmodels"
)

// encoder has several segments.
const encoder = "../internal/command/testdata/merged/encoder_fixed.onnx"

// site builds the page, or takes that of RELUPATH_PAGE, and serves it with the models below
// /models/, the network that RELUPATH_PAGE_RESNET18 names as one of them, and audit's pages below /reports/.
func site(t *testing.T) http.Handler {
	t.Helper()
	dir := os.Getenv("RELUPATH_PAGE")
	if dir == "" {
		if testing.Short() {
			t.Skip("builds the page: RELUPATH_PAGE may name one that is built")
		}
		dir = t.TempDir()
		if out, err := exec.Command("./build.sh", dir).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(dir)))
	mux.Handle("/models/", http.StripPrefix("/models", http.FileServerFS(testmodels.Files())))
	if axe := os.Getenv("RELUPATH_AXE"); axe != "" {
		mux.HandleFunc("/axe.js", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, axe) })
	}
	mux.HandleFunc("/models/encoder.onnx", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, encoder) })
	mux.HandleFunc("/reports/", func(w http.ResponseWriter, r *http.Request) {
		name := strings.TrimPrefix(r.URL.Path, "/reports/")
		path := "../../../testmodels/" + name
		if name == "encoder.onnx" {
			path = encoder
		}
		if code := command.Run([]string{"audit", path, "--per-layer", "--format", "html"}, nil, w, io.Discard); code != 0 {
			t.Errorf("audit %s: exit code %d", path, code)
		}
	})
	mux.HandleFunc("/models/resnet18.onnx", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, os.Getenv("RELUPATH_PAGE_RESNET18"))
	})
	return mux
}

// drive has what scripts do: they drop files on the page, wait for its answer, and read its tables.
const drive = `
const page = frame.contentDocument, root = page.documentElement, wait = ms => new Promise(r => setTimeout(r, ms));
const finished = async () => { while (root.dataset.state !== "done") await wait(5); };
const drop = async (...given) => {
  const files = new frame.contentWindow.DataTransfer();
  for (const f of given) files.items.add(f instanceof File ? f : new File([await (await fetch("models/" + f)).arrayBuffer()], f));
  root.dataset.state = "";
  const start = performance.now();
  frame.contentWindow.dispatchEvent(new frame.contentWindow.DragEvent("drop", {dataTransfer: files, cancelable: true}));
  while (!page.querySelector("#reports td[data-value]") && root.dataset.state !== "done") await wait(5);
  const first = performance.now() - start;
  await finished();
  return {first, all: performance.now() - start, trouble: page.getElementById("troubles").textContent, reports: page.getElementById("reports").textContent.length};
};
const box = name => page.querySelector('[aria-label="' + name + '"]');
const figures = () => {
  const out = {};
  for (const row of box("Measures").querySelectorAll("tbody tr"))
    out[row.cells[0].textContent] = Number(row.cells[1].dataset.value);
  const heads = [...box("Layers").querySelectorAll("thead th")].map(h => h.textContent);
  for (const row of box("Layers").querySelectorAll("tbody tr"))
    for (const [k, c] of [...row.cells].entries()) if (c.dataset.value) out[row.cells[0].textContent + " " + heads[k]] = Number(c.dataset.value);
  return out;
};
`

// visit runs a script on the page and decodes what it saw. Nothing may be asked of another host.
func visit(t *testing.T, site http.Handler, width int, script string, into any) {
	t.Helper()
	saw, elsewhere := browser.Site(t, site, width, drive+script)
	if len(elsewhere) > 0 {
		t.Errorf("asked of other hosts: %q", elsewhere)
	}
	if err := json.Unmarshal([]byte(saw), into); err != nil {
		t.Fatalf("%v: %s", err, saw)
	}
}

// commandLine returns the figures of a model by their labels, those of layers behind the layer's name.
func commandLine(t *testing.T, path string) map[string]float64 {
	t.Helper()
	var out, errs bytes.Buffer
	if code := command.Run([]string{"audit", path, "--format", "json"}, nil, &out, &errs); code != 0 {
		t.Fatal(errs.String())
	}
	type measure struct {
		Name, P, Q, Output string
		Value              *float64
	}
	var got struct {
		Models []struct {
			Measures []measure
			Layers   []struct {
				Name     string
				Measures []measure
			}
		}
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	figures := map[string]float64{}
	add := func(layer string, ms []measure) {
		for _, m := range ms {
			if m.Value == nil || m.Output != "" || m.Name == "parameter_count" {
				continue
			}
			label := m.Name
			switch {
			case m.Q != "":
				label += fmt.Sprintf("(%s,%s)", m.P, m.Q)
			case m.P != "":
				label += fmt.Sprintf("(%s)", m.P)
			}
			figures[layer+label] = *m.Value
		}
	}
	add("", got.Models[0].Measures)
	for _, l := range got.Models[0].Layers {
		add(l.Name+" ", l.Measures)
	}
	return figures
}

// dropped is what drop returns, with the figures.
type dropped struct {
	First, All float64
	Trouble    string
	Reports    int
	Figures    map[string]float64
}

// TestFigures: the figures of the page are those of the command line, and nothing is asked of
// another host. RELUPATH_PAGE_RESNET18 names a network of that kind, to be among them.
func TestFigures(t *testing.T) {
	models := map[string][]string{
		"mnist_mlp": {"mnist_mlp.onnx"}, "usps_conv": {"usps_conv.onnx"}, "digits_external": {"digits_external.onnx", "digits_external.onnx.data"},
	}
	if os.Getenv("RELUPATH_PAGE_RESNET18") != "" {
		models["resnet18"] = []string{"resnet18.onnx"}
	}
	list, err := json.Marshal(models)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]dropped
	visit(t, site(t), 1400, `const out = {};
for (const [name, files] of Object.entries(`+string(list)+`)) { const d = await drop(...files); out[name] = {...d, figures: d.trouble ? {} : figures()}; }
done(JSON.stringify(out));`, &got)
	for name := range models {
		path := "../../../testmodels/" + name + ".onnx"
		if name == "resnet18" {
			path = os.Getenv("RELUPATH_PAGE_RESNET18")
		}
		d, want := got[name], commandLine(t, path)
		t.Logf("%s: %d figures; first after %.0f ms, all after %.0f ms", name, len(want), d.First, d.All)
		if d.Trouble != "" || len(want) < 20 {
			t.Errorf("%s: %s", name, d.Trouble)
		}
		for label, w := range want {
			// The order of sums differs: assembly adds in lanes.
			if x, ok := d.Figures[label]; !ok || math.Abs(x-w) > 1e-12*math.Abs(w) {
				t.Errorf("%s: %s is %v on the page, %v on the command line", name, label, x, w)
			}
		}
		if len(d.Figures) != len(want) {
			t.Errorf("%s: %d figures on the page, %d on the command line", name, len(d.Figures), len(want))
		}
	}
}

// TestSpeed says how long after the drop the first figures and all of them are there: on a page that is
// opened at that moment, whose program is fetched, compiled and started, and then five times more, medians.
// RELUPATH_PAGE_SPEED asks for it, and for failure beyond half a second for the first figures of a model of
// 100 kB, and 3 s for all of a ResNet-18, RELUPATH_PAGE_RESNET18.
func TestSpeed(t *testing.T) {
	if os.Getenv("RELUPATH_PAGE_SPEED") == "" {
		t.Skip("RELUPATH_PAGE_SPEED asks for it")
	}
	served := site(t)
	for _, c := range []struct {
		file       string
		first, all float64 // limits in ms, 0 for none
	}{{"mnist_mlp.onnx", 500, 0}, {"resnet18.onnx", 0, 3000}} {
		if c.file == "resnet18.onnx" && os.Getenv("RELUPATH_PAGE_RESNET18") == "" {
			continue
		}
		var got []dropped
		visit(t, served, 1400, `const out = [];
for (let k = 0; k < 6; k++) out.push(await drop(`+fmt.Sprintf("%q", c.file)+`));
done(JSON.stringify(out));`, &got)
		var first, all []float64
		for _, d := range got[1:] {
			first, all = append(first, d.First), append(all, d.All)
		}
		slices.Sort(first)
		slices.Sort(all)
		m := len(first) / 2
		t.Logf("%s: first figures %.0f ms after the drop, all %.0f; on a page just opened %.0f and %.0f", c.file, first[m], all[m], got[0].First, got[0].All)
		if c.first > 0 && first[m] > c.first || c.all > 0 && all[m] > c.all {
			t.Errorf("%s: later than %.0f and %.0f ms", c.file, c.first, c.all)
		}
	}
}

// TestHostileFiles: what is no model, or one that lies, has a sentence, names are shown as they are
// written, and the page goes on.
func TestHostileFiles(t *testing.T) {
	deep := slices.Repeat([]int{0x3a, 0xff, 0xff, 0xff, 0xff, 0x07}, 10)
	list := strings.ReplaceAll(fmt.Sprint(deep), " ", ",")
	var got map[string]dropped
	visit(t, site(t), 1400, `const out = {}, good = new Uint8Array(await (await fetch("models/mnist_mlp.onnx")).arrayBuffer());
const deep = new Uint8Array(`+list+`);
out.random = await drop(new File([crypto.getRandomValues(new Uint8Array(5000))], "random.onnx"));
out.cut = await drop(new File([good.slice(0, good.length / 2)], "cut.onnx"));
out.lengths = await drop(new File([deep], "lengths.onnx"));
out.empty = await drop(new File([], "empty.onnx"));
out.markup = await drop(new File([deep], "<img src=x onerror=document.title=1>.onnx"));
out.alone = await drop("digits_external.onnx");
out.none = await drop(new File([deep], "a.txt"), new File([deep], "b.txt"));
// The program ends, as where memory does: the next begins.
frame.contentWindow.worker.dispatchEvent(new MessageEvent("message", {data: {kind: "ended", of: '"fatal error: out of memory"'}}));
out.ended = {trouble: page.getElementById("troubles").textContent};
out.good = await drop("mnist_mlp.onnx");
out.title = {trouble: page.title};
done(JSON.stringify(out));`, &got)
	for name, d := range got {
		switch name {
		case "good":
			if d.Trouble != "" || d.Reports == 0 {
				t.Errorf("good: %+v", d)
			}
		case "title":
			if d.Trouble != "relupath" {
				t.Errorf("a name became markup: %s", d.Trouble)
			}
		default:
			t.Log(name, d.Trouble)
			if len(d.Trouble) < 20 || d.Reports > 0 || strings.Contains(d.Trouble, "mistake of the program") {
				t.Errorf("%s: %+v", name, d)
			}
		}
	}
	if len(got) != 10 {
		t.Errorf("%d answers", len(got))
	}
}

// TestTwoModels: two models stand side by side with the change, models are read by a parameter of
// the address, and the page is no wider than its window on a telephone and at a desk.
func TestTwoModels(t *testing.T) {
	served := site(t)
	for _, width := range []int{390, 1400} {
		var got struct {
			Change, Before, After float64
			Wide, Hidden          int
			Named, Elsewhere      string
		}
		visit(t, served, width, `
await drop("toy.onnx", "toy_unbalanced.onnx");
const row = [...box("Measures").querySelectorAll("tbody tr")].find(r => r.cells[0].textContent === "frobenius"), of = k => Number(row.cells[k].dataset.value);
const out = {before: of(1), after: of(2), change: of(3)};
out.wide = root.scrollWidth - frame.clientWidth;
out.hidden = Math.max(...[...page.querySelectorAll(".scroll")].map(b => b.scrollWidth - b.clientWidth));
const again = search => new Promise(r => { frame.onload = async () => {
  while (frame.contentDocument.documentElement.dataset.state !== "done") await wait(5);
  r(frame.contentDocument);
}; frame.src = "index.html" + search; });
out.named = (await again("?model=models/toy.onnx")).querySelector("#reports h2").textContent;
out.elsewhere = (await again("?model=https://example.org/a.onnx")).getElementById("troubles").textContent;
done(JSON.stringify(out));`, &got)
		if want := (got.After - got.Before) / got.Before; got.Change != want || want == 0 {
			t.Errorf("change %v, want %v", got.Change, want)
		}
		if got.Wide > 0 || width > 1000 && got.Hidden > 1 {
			t.Errorf("at %d the page is %d wider than its window, a table hides %d", width, got.Wide, got.Hidden)
		}
		if got.Named != "toy.onnx" || !strings.Contains(got.Elsewhere, "own server") {
			t.Errorf("%q, %q", got.Named, got.Elsewhere)
		}
	}
}

// TestReport: the page has the tables of audit's page: their columns and rows, with segments,
// measures of single outputs and why measures are undefined, plots of its layers and of changes, and
// histograms, drawings of the network and formulas that say what those of audit's page do.
func TestReport(t *testing.T) {
	var got struct {
		Differ              []string
		Undefined, Segments int
		Compared            int
		Drawn, Formulas     int
		Plots               map[string]int
		Sorted              []string
	}
	visit(t, site(t), 1400, `
const out = {differ: [], plots: {}, drawn: 0, formulas: 0};
const told = (doc, label) => [...doc.querySelectorAll('svg[aria-label^="' + label + '"] title')].map(t => t.textContent);
const formulas = doc => [...doc.querySelectorAll("dd math")].map(m => m.outerHTML);
// Histograms round numbers in ways of their own.
const counted = says => says.replace(/, from .*/, "");
// What tables name, by their first column: columns and rows. Audit's page cuts wide tables, has its facts
// without a head, marks what is undefined, and leaves out outputs where they are many.
const words = e => [...e.childNodes].filter(n => n.nodeName !== "SUP").map(n => n.textContent).join("").replace(/\s+/g, " ").trim();
const tables = doc => {
  const out = {};
  for (const t of doc.querySelectorAll("section table")) {
    const heads = t.tHead ? [...t.tHead.rows[0].cells].map(words) : [""];
    if (heads[0]) (out[heads[0]] ??= []).push(...heads.slice(1), ...[...t.tBodies[0].rows].map(r => words(r.cells[0])));
  }
  return out;
};
for (const name of ["encoder.onnx", "usps_conv.onnx", "toy.onnx"]) {
  await drop(name);
  const other = new DOMParser().parseFromString(await (await fetch("reports/" + name)).text(), "text/html"), want = tables(other), has = tables(page);
  for (const [wanted, got] of [[told(other, "Network:"), told(page, "Network")], [formulas(other), formulas(page)],
      [told(other, "Incoming norms").map(counted), told(page, "2-norm").map(counted)]]) {
    const lack = wanted.filter(x => !got.includes(x));
    if (lack.length || !wanted.length) out.differ.push(name + ": of " + wanted.length + " drawings and formulas the page lacks " + lack.length + ", such as " + lack[0] + " beside " + got[0]);
    out.drawn += wanted.length;
  }
  out.formulas += [...page.querySelectorAll("dd math")].filter(m => m.getBoundingClientRect().height > 10).length;
  for (const head in want) {
    const lack = want[head].filter(x => !(has[head] || []).includes(x));
    if (lack.length) out.differ.push(name + ": " + head + " lacks " + lack);
    out.compared = (out.compared || 0) + want[head].length;
  }
  out.plots[name] = page.querySelectorAll("#reports figure svg").length;
  if (name === "encoder.onnx") {
    out.undefined = [...box("Measures").querySelectorAll("td")].filter(c => c.textContent === "undefined" && box("Measures").nextSibling.textContent.includes(c.dataset.why)).length;
    out.segments = box("Segments").querySelectorAll("tbody tr").length;
  }
  if (name === "usps_conv.onnx") {
    const head = [...box("Layers").querySelectorAll("thead th")].find(h => h.textContent === "frobenius");
    out.sorted = ["ascending", "descending"].map(() => { head.querySelector("button").click(); return [...box("Layers").querySelectorAll("tbody tr")].map(r => Number(r.cells[head.cellIndex].dataset.value)); })
      .map((v, k) => v.every((x, i) => !i || (k ? v[i - 1] >= x : v[i - 1] <= x)) ? "sorted" : String(v));
  }
}
await drop("toy.onnx", "toy_unbalanced.onnx");
out.plots.two = page.querySelectorAll('#reports svg[aria-label="change (%)"]').length;
done(JSON.stringify(out));`, &got)
	if len(got.Differ) > 0 || got.Compared < 100 || got.Drawn < 80 || got.Formulas < 40 {
		t.Errorf("the tables differ:\n%s", strings.Join(got.Differ, "\n"))
	}
	if got.Undefined < 5 || got.Segments < 2 || got.Plots["encoder.onnx"] < 2 || got.Plots["two"] != 1 || !slices.Equal(got.Sorted, []string{"sorted", "sorted"}) {
		t.Errorf("%+v", got)
	}
}

// TestJudged: axe-core finds nothing on the page, of one model and of two, on a telephone and at a
// desk. RELUPATH_AXE names its axe.min.js.
func TestJudged(t *testing.T) {
	if os.Getenv("RELUPATH_AXE") == "" {
		t.Skip("RELUPATH_AXE names axe.min.js")
	}
	served := site(t)
	for _, width := range []int{390, 1400} {
		var got struct {
			Faults []string
			Words  int
		}
		visit(t, served, width, `
const axe = page.createElement("script");
axe.src = "axe.js";
await new Promise(r => { axe.onload = r; page.head.append(axe); });
const out = {faults: [], words: 0};
for (const given of [[], ["encoder.onnx"], ["usps_conv.onnx"], ["toy.onnx", "toy_unbalanced.onnx"]]) {
  if (given.length) await drop(...given);
  for (const d of page.querySelectorAll("details")) d.open = true;
  for (const body of page.querySelectorAll("tbody")) for (const row of [...body.rows].slice(12)) row.remove();
  const r = await frame.contentWindow.axe.run({exclude: [["svg"]]});
  out.faults.push(...r.violations.map(v => given + ": " + v.id + ": " + v.nodes[0].html.slice(0, 120)));
  for (const b of page.querySelectorAll("tbody tr")) { const c = [...b.cells].find(c => c.dataset.value); if (c && b.closest(".scroll").scrollLeft === 0 && c.cellIndex === 1 && c.getBoundingClientRect().right > frame.clientWidth) out.faults.push(given + ": out of sight: " + b.textContent.slice(0, 60)); }
  out.words += r.passes.filter(p => p.id === "color-contrast").reduce((n, p) => n + p.nodes.length, 0);
}
done(JSON.stringify(out));`, &got)
		if len(got.Faults) > 0 || got.Words < 100 {
			t.Errorf("at %d, %d words: %s", width, got.Words, strings.Join(got.Faults, "; "))
		}
	}
}
