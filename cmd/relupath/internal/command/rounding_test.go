package command

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A model whose outputs amplify the rounding of its weights is balanced, and the report
// says how far; one where rounding changes everything is not, but for factors that
// round nothing. A tolerance that is given is strict.
func TestBalanceExplainsRounding(t *testing.T) {
	models, err := filepath.Abs(filepath.Join("testdata", "rounding"))
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	for _, c := range []struct {
		line            string
		rounding        bool
		message, remedy string
	}{
		{"amplified.onnx", true, "", "--exact rounds nothing"},
		{"amplified.onnx --exact", false, "", ""},
		{"amplified.onnx --tolerance 1e-5", false, "more than the tolerance 1e-05", ""},
		{"chaotic.onnx", true, `changes "fc3" (MatMul) by more than a tenth: give --exact`, "--exact rounds nothing"},
		{"chaotic.onnx --exact", false, "", ""},
	} {
		args := strings.Fields(c.line)
		args[0] = filepath.Join(models, args[0])
		var out, errs bytes.Buffer
		code := Run(append([]string{"balance", "-o", "out.onnx", "--method", "enorm", "--format", "json"}, args...), nil, &out, &errs)
		var r balanceJSON
		if err := json.Unmarshal(out.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v: %s", c.line, err, &errs)
		}
		rounding := false
		for _, k := range r.Verification.Kinds {
			rounding = rounding || k.Rounding != nil
		}
		warnings := strings.Join(r.Warnings, " ")
		_, missing := os.Stat("out.onnx")
		if (code == 0) != (c.message == "") || (missing == nil) != (code == 0) || !strings.Contains(errs.String(), c.message) ||
			rounding != c.rounding || !strings.Contains(warnings, c.remedy) || (warnings == "") != (c.remedy == "") {
			t.Errorf("%s: code %d, %q, warnings %q, written: %v", c.line, code, &errs, warnings, missing == nil)
		}
		_ = os.Remove("out.onnx") // it may not be there
	}
}
