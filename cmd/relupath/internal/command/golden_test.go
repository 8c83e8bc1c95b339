package command

import (
	"bytes"
	"testing"

	"github.com/relupath/relupath/cmd/relupath/internal/golden"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
)

// goldens compares a document with the golden file of every format.
func goldens(t *testing.T, name string, d *render.Document) {
	t.Helper()
	for _, f := range render.Formats() {
		var b bytes.Buffer
		if err := render.Write(&b, d, render.Options{Format: render.Format(f)}); err != nil {
			t.Fatal(err)
		}
		golden.Check(t, name+"."+f, b.String())
	}
}
