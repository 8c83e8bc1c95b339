package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"os"
	"os/exec"
	"testing"

	"github.com/relupath/relupath/cmd/relupath/internal/browser"
	"github.com/relupath/relupath/cmd/relupath/internal/command"
	"github.com/relupath/relupath/testmodels"
)

// site builds the page, or takes that of RELUPATH_PAGE, and serves it with the models below /models/.
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
	return mux
}

// drop drops files of /models/ on the page and waits for its answer.
const drop = `
const page = frame.contentDocument, root = page.documentElement, wait = ms => new Promise(r => setTimeout(r, ms));
const drop = async names => {
  const files = new frame.contentWindow.DataTransfer();
  for (const name of names) files.items.add(new File([await (await fetch("models/" + name)).arrayBuffer()], name));
  root.dataset.state = "";
  const start = performance.now();
  frame.contentWindow.dispatchEvent(new frame.contentWindow.DragEvent("drop", {dataTransfer: files, cancelable: true}));
  while (root.dataset.state !== "done" && root.dataset.state !== "error") await wait(10);
  if (root.dataset.state === "error") throw new Error(page.getElementById("status").textContent);
  return performance.now() - start;
};
`

// TestPageMeasures: the figures of the page are those of the command line, and nothing is asked
// of another host.
func TestPageMeasures(t *testing.T) {
	saw, elsewhere := browser.Site(t, site(t), 1400, drop+`
await drop(["mnist_mlp.onnx"]);
const out = {};
for (const row of page.querySelectorAll("#measures tr")) out[row.cells[0].textContent] = Number(row.cells[1].textContent);
done(JSON.stringify(out));`)
	if len(elsewhere) > 0 {
		t.Errorf("asked of other hosts: %q", elsewhere)
	}
	var got map[string]float64
	if err := json.Unmarshal([]byte(saw), &got); err != nil {
		t.Fatalf("%v: %s", err, saw)
	}
	var out, errs bytes.Buffer
	if code := command.Run([]string{"audit", "../../../testmodels/mnist_mlp.onnx", "--format", "json"}, nil, &out, &errs); code != 0 {
		t.Fatal(errs.String())
	}
	var want struct {
		Models []struct {
			Measures []struct {
				Name, P, Q, Output string
				Value              *float64
			}
		}
	}
	if err := json.Unmarshal(out.Bytes(), &want); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range want.Models[0].Measures {
		label := m.Name
		switch {
		case m.Value == nil || m.Output != "":
			continue
		case m.Q != "":
			label += fmt.Sprintf("(%s,%s)", m.P, m.Q)
		case m.P != "":
			label += fmt.Sprintf("(%s)", m.P)
		}
		n++
		// The order of sums differs: assembly adds in lanes.
		if x, ok := got[label]; !ok || math.Abs(x-*m.Value) > 1e-12*math.Abs(*m.Value) {
			t.Errorf("%s: %v on the page, %v on the command line", label, x, *m.Value)
		}
	}
	if n < 5 {
		t.Errorf("%d figures compared", n)
	}
}
