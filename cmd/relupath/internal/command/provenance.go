package command

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/internal/outfile"
)

// now is the time, or that of SOURCE_DATE_EPOCH where the environment has it, for results that
// can be made again.
func (a *app) now() time.Time {
	now := time.Now()
	if s, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64); err == nil {
		now = time.Unix(s, 0)
	}
	return now.UTC()
}

// provenance says where a result is from: nil without --provenance.
func (a *app) provenance() (*render.Provenance, error) {
	if !a.provenanced {
		return nil, nil
	}
	p := &render.Provenance{
		Version: root + " " + version(), Command: commandLine(a.args), Date: a.now().Format(time.RFC3339),
		Files: []render.SourceFile{},
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, path := range slices.Sorted(maps.Keys(a.sums)) {
		s := a.sums[path]
		if s.err != nil {
			return nil, s.err
		}
		p.Files = append(p.Files, render.SourceFile{Path: path, SHA256: s.sum})
	}
	return p, nil
}

// fileSum is the SHA-256 of a file, or why there is none.
type fileSum struct {
	sum string
	err error
}

// sumUp takes the sums of files for --provenance as they are read: a command may write over them. What
// is no file has none, nor have drafts of outputs, which are read again.
func (a *app) sumUp(files []string) {
	if !a.provenanced {
		return
	}
	for _, path := range files {
		a.mu.Lock()
		_, known := a.sums[path]
		draft := slices.ContainsFunc(a.drafts, func(d *outfile.Draft) bool { return filepath.Dir(d.Path("x")) == filepath.Dir(path) })
		a.mu.Unlock()
		if info, err := os.Stat(path); known || draft || err == nil && !info.Mode().IsRegular() {
			continue
		}
		sum, err := hash(path)
		a.mu.Lock()
		if a.sums == nil {
			a.sums = map[string]fileSum{}
		}
		a.sums[path] = fileSum{sum, err}
		a.mu.Unlock()
	}
}

// commandLine writes a command as a shell reads it.
func commandLine(args []string) string {
	out := []string{root}
	for _, a := range args {
		if a == "" || strings.ContainsFunc(a, func(r rune) bool {
			return !strings.ContainsRune("+-./:=@%_,^", r) && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
		}) {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		out = append(out, a)
	}
	return strings.Join(out, " ")
}
