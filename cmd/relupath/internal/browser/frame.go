package browser

import (
	"encoding/json"
	"fmt"
	"html"
	"strings"
	"testing"
)

// Frame is a page as it is looked at.
type Frame struct {
	Name, Page string
	// Width is that of the window; one of Chromium's own is no narrower than 500 points.
	Width int
	Dark  bool
}

// Frames opens pages in frames of one Chromium, each with a script at its end that hands what it
// saw to done(string), and returns that in the order of the frames.
func Frames(t *testing.T, frames []Frame, script string, flags ...string) (saw []string, console string) {
	t.Helper()
	var b strings.Builder
	// The listener stands before the frames, whose scripts may run before the page is whole.
	fmt.Fprintf(&b, `<!DOCTYPE html><html><head><meta charset="utf-8"><title>waiting</title><script>
const seen = Array(%d).fill(null);
addEventListener("message", e => {
  seen[[...document.querySelectorAll("iframe")].findIndex(f => f.contentWindow === e.source)] = e.data;
  document.title = JSON.stringify(seen);
});</script></head><body>`, len(frames))
	for _, f := range frames {
		scheme := "light"
		if f.Dark {
			scheme = "dark"
		}
		page := strings.Replace(f.Page, "</body>", "<script>const done = saw => parent.postMessage(saw, '*');\n"+script+"</script></body>", 1)
		fmt.Fprintf(&b, "<iframe style=\"border:0;width:%dpx;height:900px;color-scheme:%s\" srcdoc=\"%s\"></iframe>\n", f.Width, scheme, html.EscapeString(page))
	}
	b.WriteString("</body></html>")
	title, console := Run(t, b.String(), "", flags...)
	if err := json.Unmarshal([]byte(title), &saw); err != nil {
		t.Fatalf("%v: %s", err, title)
	}
	return saw, console
}
