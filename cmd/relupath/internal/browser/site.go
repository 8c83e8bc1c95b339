package browser

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// Site opens index.html of a site in a frame as wide as it says, and runs a script beside it,
// in which frame is that of the page. The script hands what it saw to done(string), which Site
// returns with what was asked of other hosts than the site's, those left out that Chromium asks by
// itself. Without a Chromium the test is skipped.
func Site(t *testing.T, site http.Handler, width int, script string) (saw string, elsewhere []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	defer cancel()
	seen := make(chan string, 1)
	mux := http.NewServeMux()
	mux.Handle("/", site)
	mux.HandleFunc("GET /around.html", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `<!DOCTYPE html><meta charset="utf-8"><iframe id="frame" src="index.html" style="border:0;width:%dpx;height:900px"></iframe>
<script>const done = saw => fetch("saw", {method: "POST", body: saw}), frame = document.getElementById("frame");
frame.onload = async () => { try { %s } catch (e) { done("the script failed: " + e + e.stack); } };</script>`, width, script)
	})
	mux.HandleFunc("POST /saw", func(_ http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			b = []byte(err.Error())
		}
		select {
		case seen <- string(b):
		default: // the first counts
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	var mu sync.Mutex
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := strings.TrimSuffix(r.Host, ":443")
		if !strings.HasSuffix(host, ".google.com") && !strings.HasSuffix(host, ".googleapis.com") {
			mu.Lock()
			elsewhere = append(elsewhere, host)
			mu.Unlock()
		}
		http.Error(w, "no such host", http.StatusBadGateway)
	}))
	defer proxy.Close()
	cmd := exec.CommandContext(ctx, find(t), "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
		"--disable-component-update", "--disable-sync", "--no-first-run", "--disable-dev-shm-usage", "--user-data-dir="+t.TempDir(),
		"--window-size=1500,1000", "--proxy-server="+strings.TrimPrefix(proxy.URL, "http://"), "--proxy-bypass-list=127.0.0.1",
		"--remote-debugging-port=0", server.URL+"/around.html")
	var errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &errs, &errs
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var err error
	ended := make(chan struct{})
	go func() {
		err = cmd.Wait()
		close(ended)
	}()
	select {
	case saw = <-seen:
		cancel()
		<-ended
	case <-ended:
		t.Fatalf("Chromium ended: %v\n%s", err, &errs)
	}
	mu.Lock()
	defer mu.Unlock()
	return saw, elsewhere
}
