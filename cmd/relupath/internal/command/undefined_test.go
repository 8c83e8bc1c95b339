package command

import (
	"os"
	"strings"
	"testing"
)

// TestUndefined: where a measure has no value for the whole network, every format of audit and
// diff says so and why, in a line a model; no table is empty, and nothing undefined is a change.
func TestUndefined(t *testing.T) {
	model, err := os.ReadFile("testdata/undefined.onnx")
	if err != nil {
		t.Fatal(err)
	}
	inTestmodels(t)
	for name, data := range map[string][]byte{"tanh.onnx": model, "tanh2.onnx": model, "iris.csv": []byte(irisRows), "wrong.csv": []byte("1,0,1\n0,1,0\n1,1,0\n")} {
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const data = " --data csv:iris.csv,header,label=species"
	const asked = data + " --measures bound_path_g24,sharpness_flatness,frobenius"
	for _, line := range []string{
		"audit tanh.onnx" + data + " --measures bound_path_g24", "audit tanh.onnx" + asked, "audit tanh.onnx iris_own.onnx" + asked,
		"audit tanh.onnx tanh2.onnx" + asked, "audit tanh.onnx iris_own.onnx" + data + " --columns bound_path_g24,frobenius",
		"diff tanh.onnx iris_own.onnx" + asked, "diff tanh.onnx tanh2.onnx" + asked, "diff tanh.onnx iris_own.onnx" + data + " --columns bound_path_g24,frobenius",
	} {
		for _, format := range []string{"table", "markdown", "latex", "csv", "json", "html"} {
			got := output(t, line+" --format "+format)
			if !strings.Contains(got, "functions stand between its layers") {
				t.Errorf("%s --format %s does not say why:\n%s", line, format, got)
			}
			told := 0
			lines := got
			if format == "table" { // where lines are as wide as the terminal
				lines = strings.ReplaceAll(strings.Join(strings.Fields(got), " "), "tanh.onnx", "\ntanh.onnx")
			}
			for l := range strings.Lines(lines) {
				if strings.Contains(l, "tanh.onnx") && strings.Contains(l, ": undefined: bound_path_g24: functions stand between its layers: \"act\" (Tanh)") {
					told++
				}
			}
			if text := format == "table" || format == "markdown" || format == "latex"; text && told != 1 {
				t.Errorf("%s --format %s says it in %d lines:\n%s", line, format, told, got)
			}
			if strings.HasSuffix(strings.TrimRight(strings.Split(got, "\n\n")[0], " \n"), "────") || strings.Contains(got, "\\midrule\n\\bottomrule") {
				t.Errorf("%s --format %s has an empty table:\n%s", line, format, got)
			}
		}
	}
	// A change from or to nothing is none.
	for l := range strings.Lines(output(t, "diff tanh.onnx iris_own.onnx"+data+" --measures path_norm")) {
		if strings.Contains(l, "undefined") && strings.Contains(l, "%") {
			t.Errorf("a change: %s", l)
		}
	}
	// A margin that is not positive is a reason too.
	if got := output(t, "audit toy.onnx --data csv:wrong.csv --measures bound_path_g24"); !strings.Contains(got, "undefined: bound_path_g24: the margin's 5% percentile is") {
		t.Error(got)
	}
	refused(t, codeCondition, []string{"no value", `"act" (Tanh)`}, "audit", "tanh.onnx", "--fail-if", "path_norm(2)>3")
}
