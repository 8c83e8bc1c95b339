package command

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/relupath/relupath/cmd/relupath/internal/render"
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
	sources := slices.Compact(slices.Sorted(slices.Values(a.sources)))
	a.mu.Unlock()
	for _, path := range sources {
		sum, err := hash(path)
		if err != nil {
			return nil, err
		}
		p.Files = append(p.Files, render.SourceFile{Path: path, SHA256: sum})
	}
	return p, nil
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
