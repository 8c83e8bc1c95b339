package command

import (
	"bytes"
	"os"
	"testing"

	"github.com/relupath/relupath/cmd/relupath/internal/golden"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
)

// Pages have the date; those of the golden files are of one day.
func init() {
	if err := os.Setenv("SOURCE_DATE_EPOCH", "1795953600"); err != nil {
		panic(err)
	}
}

// goldens compares a document, and its page where that is another, with the golden file of every
// format.
func goldens(t *testing.T, name string, document *render.Document, page ...*render.Document) {
	t.Helper()
	for _, f := range render.Formats() {
		d := document
		if f == string(render.HTML) && len(page) > 0 {
			d = page[0]
		}
		var b bytes.Buffer
		if err := render.Write(&b, d, render.Options{Format: render.Format(f)}); err != nil {
			t.Fatal(err)
		}
		golden.Check(t, name+"."+f, b.String())
	}
}
