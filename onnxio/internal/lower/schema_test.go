package lower

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/relupath/relupath/onnxio/internal/wire"
)

// TestForms has onnx.checker judge nodes of every known operator and version, sound
// and malformed: what it refuses is invalid here too, and nothing else is.
func TestForms(t *testing.T) {
	python := os.Getenv("RELUPATH_PYTHON")
	if python == "" {
		t.Skip("set RELUPATH_PYTHON to a Python with onnx")
	}
	var known strings.Builder
	for d, all := range operators() {
		if d == "" {
			d = "ai.onnx"
		}
		for name := range all {
			known.WriteString(d + " " + name + "\n")
		}
	}
	cmd := exec.Command(python, "testdata/forms.py", "1")
	cmd.Stdin, cmd.Stderr = strings.NewReader(known.String()), os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	accepted, refused := 0, 0
	for s := bufio.NewScanner(out); s.Scan(); {
		var c struct {
			What, Verdict string
			Model         []byte
		}
		if err := json.Unmarshal(s.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		f, err := wire.Parse(c.Model, wire.Options{})
		if err == nil {
			_, err = Graph(f, Options{})
		}
		switch {
		case c.Verdict == "" && err != nil:
			t.Errorf("%s: %v", c.What, err)
		case c.Verdict != "" && err == nil:
			t.Errorf("%s: accepted, the checker says: %s", c.What, c.Verdict)
		case err == nil:
			accepted++
		default:
			refused++
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d accepted, %d refused", accepted, refused)
	if accepted < 500 || refused < 500 {
		t.Error("too few cases")
	}
}

// TestSchemas checks that every operator of the table has forms, by rising version.
func TestSchemas(t *testing.T) {
	for d, all := range operators() {
		for name, o := range all {
			forms := o.forms()
			if len(forms) == 0 {
				t.Errorf("%s %s has no line in schemas.txt: run testmodels/scripts/schemas.py", d, name)
			}
			for i := 1; i < len(forms); i++ {
				if forms[i].since <= forms[i-1].since {
					t.Errorf("%s %s: version %d after %d", d, name, forms[i].since, forms[i-1].since)
				}
			}
		}
	}
}
