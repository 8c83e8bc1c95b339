package render

import (
	"strings"
	"testing"

	"github.com/relupath/relupath/cmd/relupath/internal/browser"
)

// probe clicks on the heads of a table and measures the plots, as a reader
// would, and writes what it saw into the document's title.
const probe = `
const table = document.querySelectorAll("table")[1], seen = [];
const column = k => [...table.tBodies[0].rows].map(r => r.cells[k].textContent).join(",");
const press = k => table.tHead.rows[0].cells[k].querySelector("button").click();
const state = k => table.tHead.rows[0].cells[k].getAttribute("aria-sort");
press(3); seen.push(state(3) + ":" + column(0));
press(3); seen.push(state(3) + ":" + column(0));
press(0); seen.push(state(0) + ":" + state(3) + ":" + column(0));
const button = table.tHead.rows[0].cells[0].querySelector("button");
button.focus(); seen.push("focus:" + (document.activeElement === button));
for (const f of document.querySelectorAll("figure svg")) {
  const box = f.getBoundingClientRect(), parts = f.querySelectorAll("path").length;
  seen.push("plot:" + (box.width > 200 && box.height > 50 && parts > 4));
}
seen.push("colour:" + getComputedStyle(document.querySelector("figure svg text")).fill);
seen.push("wide:" + (document.documentElement.scrollWidth <= innerWidth));
document.title = seen.join("|");
`

func TestPageInABrowser(t *testing.T) {
	d := sample()
	d.Figures = figures()
	page := rendered(t, d, Options{Format: HTML})
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
		saw, console := browser.Run(t, page, probe, "--window-size="+size)
		if console != "" {
			t.Errorf("the console shows: %s", console)
		}
		if saw != want {
			t.Errorf("%s: saw %q\nwant %q", size, saw, want)
		}
	}
}

func TestPageHasADarkSide(t *testing.T) {
	page := rendered(t, sample(), Options{Format: HTML})
	script := `document.title = getComputedStyle(document.body).backgroundColor`
	saw, _ := browser.Run(t, page, script, "--blink-settings=preferredColorScheme=0")
	if saw != "rgb(22, 25, 29)" {
		t.Errorf("not dark: %s", saw)
	}
}
