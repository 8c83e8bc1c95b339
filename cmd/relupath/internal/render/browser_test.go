package render

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// browser returns a headless Chromium, or skips the test.
func browser(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("RELUPATH_CHROMIUM"); path != "" {
		return path
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("no Chromium is installed: RELUPATH_CHROMIUM may name one")
	return ""
}

// dump opens a page and returns its document after the scripts ran, and what
// the browser's console showed.
func dump(t *testing.T, path string, flags ...string) (dom, console string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	args := append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
		"--disable-dev-shm-usage", "--user-data-dir=" + t.TempDir(), "--enable-logging=stderr", "--virtual-time-budget=3000",
	}, flags...)
	cmd := exec.CommandContext(ctx, browser(t), append(args, "--dump-dom", "file://"+path)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, &errs)
	}
	for l := range strings.Lines(errs.String()) {
		if strings.Contains(l, "CONSOLE") {
			console += l
		}
	}
	return out.String(), console
}

// probe clicks on the heads of a table and measures the plots, as a reader
// would, and writes what it saw into the document's title.
const probe = `<script>
const table = document.querySelectorAll("table")[1], seen = [];
const column = k => [...table.tBodies[0].rows].map(r => r.cells[k].textContent).join(",");
const press = k => table.tHead.rows[0].cells[k].firstElementChild.click();
const state = k => table.tHead.rows[0].cells[k].getAttribute("aria-sort");
press(3); seen.push(state(3) + ":" + column(0));
press(3); seen.push(state(3) + ":" + column(0));
press(0); seen.push(state(0) + ":" + state(3) + ":" + column(0));
const button = table.tHead.rows[0].cells[0].firstElementChild;
button.focus(); seen.push("focus:" + (document.activeElement === button));
for (const f of document.querySelectorAll("figure svg")) {
  const box = f.getBoundingClientRect(), parts = f.querySelectorAll("path").length;
  seen.push("plot:" + (box.width > 200 && box.height > 50 && parts > 4));
}
seen.push("colour:" + getComputedStyle(document.querySelector("figure svg text")).fill);
seen.push("wide:" + (document.documentElement.scrollWidth <= innerWidth));
document.title = seen.join("|");
</script>`

func TestPageInABrowser(t *testing.T) {
	d := sample()
	d.Figures = figures()
	page := rendered(t, d, Options{Format: HTML})
	path := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(path, []byte(strings.Replace(page, "</body>", probe+"</body>", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	// What is undefined comes after every number.
	ascending := "sum_log,zero_share,group_norm,tiny,share,group_norm,path_norm,path_norm,path_norm,margin"
	descending := "margin,path_norm,path_norm,path_norm,group_norm,share,tiny,group_norm,zero_share,sum_log"
	names := "group_norm,group_norm,margin,path_norm,path_norm,path_norm,share,sum_log,tiny,zero_share"
	want := strings.Join([]string{
		"ascending:" + ascending, "descending:" + descending, "ascending:null:" + names,
		"focus:true", "plot:true", "plot:true", "plot:true", "plot:true", "colour:rgb(27, 31, 36)", "wide:true",
	}, "|")
	// A desk and the narrowest window that Chromium opens.
	for _, size := range []string{"1200,900", "500,900"} {
		dom, console := dump(t, path, "--window-size="+size)
		if console != "" {
			t.Errorf("the console shows: %s", console)
		}
		title := regexp.MustCompile(`<title>(.*?)</title>`).FindStringSubmatch(dom)
		if title == nil || title[1] != want {
			t.Errorf("%s: saw %q\nwant %q", size, title, want)
		}
	}
}

func TestPageHasADarkSide(t *testing.T) {
	page := rendered(t, sample(), Options{Format: HTML})
	script := `<script>document.title = getComputedStyle(document.body).backgroundColor</script></body>`
	path := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(path, []byte(strings.Replace(page, "</body>", script, 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	dom, _ := dump(t, path, "--blink-settings=preferredColorScheme=0")
	if !strings.Contains(dom, "<title>rgb(22, 25, 29)</title>") {
		t.Errorf("not dark: %s", regexp.MustCompile(`<title>.*?</title>`).FindString(dom))
	}
}
