package main

import (
	"bytes"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// pages returns README.md and every page of docs, relative to the module.
func pages(t *testing.T) []string {
	t.Helper()
	list, err := filepath.Glob("../../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../../docs/decisions/*.md")
	if err != nil {
		t.Fatal(err)
	}
	guides, err := filepath.Glob("../../docs/guides/*.md")
	if err != nil {
		t.Fatal(err)
	}
	return append(slices.Concat(list, more, guides), "../../README.md", "../../CHANGELOG.md", "../../testmodels/README.md")
}

// target is what a link or a picture of Markdown points to.
var target = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// TestLinks: what the pages link to inside the repository is there.
func TestLinks(t *testing.T) {
	for _, page := range pages(t) {
		raw, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range target.FindAllSubmatch(raw, -1) {
			u, err := url.Parse(string(m[1]))
			if err != nil || u.Scheme != "" || u.Path == "" {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(page), filepath.FromSlash(u.Path))); err != nil {
				t.Errorf("%s links to %s: %v", page, m[1], err)
			}
		}
	}
}

// TestSchemasAreDocumented: docs/cli.md lists every schema of JSON, and no other.
func TestSchemasAreDocumented(t *testing.T) {
	schema := regexp.MustCompile(`relupath\.[a-z]+/\d+`)
	find := func(paths ...string) []string {
		var out []string
		for _, path := range paths {
			raw, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range schema.FindAll(raw, -1) {
				out = append(out, string(s))
			}
		}
		slices.Sort(out)
		return slices.Compact(out)
	}
	sources, err := filepath.Glob("internal/command/*.go")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(find(sources...), find("../../docs/cli.md")); diff != "" {
		t.Errorf("docs/cli.md has other schemas than the program (-program +page):\n%s", diff)
	}
}

// TestAuditPage runs the two large audits of docs/audit.md again, where the
// public models are at hand, and wants the numbers of its tables.
func TestAuditPage(t *testing.T) {
	mnist := sharedMNIST(t)
	if mnist == "" {
		t.Skip("the public models are not at hand, or -short")
	}
	models := filepath.Join(filepath.Dir(filepath.Dir(mnist)), "models")
	raw, err := os.ReadFile("../../docs/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	const flags = "audit --files-from - --measures path_norm,group_norm,product_spectral,balance_spread" +
		" --p 1,2 --group 2:inf --sort path_norm(1) --format markdown"
	for _, c := range []struct {
		from, to string
		belongs  func(path string) bool
		code     int
	}{
		{"\n## ACAS", "\n## MNIST", func(p string) bool { return strings.Contains(strings.ToLower(filepath.Base(p)), "acasxu") }, 0},
		{"\n## MNIST", "\n## Bounds", func(p string) bool { return strings.Contains(p, "mnist") }, 0},
	} {
		_, want, _ := strings.Cut(string(raw), c.from)
		want, _, _ = strings.Cut(want, c.to)
		var list []string
		if err := filepath.WalkDir(models, func(path string, _ fs.DirEntry, err error) error {
			if rel, _ := filepath.Rel(models, path); strings.HasSuffix(path, ".onnx") && c.belongs(rel) {
				list = append(list, path)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		if code := run(strings.Fields(flags), strings.NewReader(strings.Join(list, "\n")), &stdout, &stderr); code != c.code {
			t.Errorf("exit code %d, want %d: %s", code, c.code, &stderr)
		}
		if got := rows(stdout.String()); !alike(rows(want), got) {
			t.Errorf("docs/audit.md differs from what the program prints (-page +program):\n%s", cmp.Diff(rows(want), got))
		}
	}
}

// rows returns the rows of a text's Markdown tables.
func rows(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "|") {
			out.WriteString(line)
		}
	}
	return out.String()
}
