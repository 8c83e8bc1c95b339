// Package browser opens HTML pages in a headless Chromium, for tests.
package browser

import (
	"bytes"
	"context"
	"html"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// find returns a Chromium, or skips the test.
func find(t *testing.T) string {
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

var title = regexp.MustCompile(`<title>(.*?)</title>`)

// Run opens a page with a script at its end and returns the document's title,
// into which the script writes what it saw, and what the console showed. The
// flags are Chromium's. Without a Chromium the test is skipped.
func Run(t *testing.T, page, script string, flags ...string) (saw, console string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "page.html")
	page = strings.Replace(page, "</body>", "<script>"+script+"</script></body>", 1)
	if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	args := append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
		"--disable-dev-shm-usage", "--user-data-dir=" + t.TempDir(), "--enable-logging=stderr", "--virtual-time-budget=3000",
	}, flags...)
	cmd := exec.CommandContext(ctx, find(t), append(args, "--dump-dom", "file://"+path)...)
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
	m := title.FindStringSubmatch(out.String())
	if m == nil {
		t.Fatalf("the page has no title: %.200s", &out)
	}
	return html.UnescapeString(m[1]), console
}
