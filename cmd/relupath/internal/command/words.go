package command

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/internal/lists"
)

// meant returns a hint at the word of a list that was probably meant, such as
// `; did you mean "path_norm"?`, empty where none is near: up to a third of the letters
// differ, two of more than three, or the word is the beginning of one word alone.
func meant(word string, known []string) string {
	lower := strings.ToLower(word)
	best, least := "", len(word)/3+1
	if len(word) > 3 {
		least = max(least, 3)
	}
	var begun []string
	for _, k := range known {
		if d := levenshtein.ComputeDistance(lower, strings.ToLower(k)); d < least {
			best, least = k, d
		}
		if word != "" && strings.HasPrefix(strings.ToLower(k), lower) {
			begun = append(begun, k)
		}
	}
	if best == "" && len(begun) == 1 {
		best = begun[0]
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// meantFlag is meant for the flags of a command. The error is pflag's own.
func meantFlag(cmd *cobra.Command, err error) string {
	name, ok := strings.CutPrefix(err.Error(), "unknown flag: --")
	if !ok {
		return ""
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, "--"+f.Name) })
	return meant("--"+name, known)
}

// placeholders are the words that stand for the values of flags in the help, by the
// name of the flag.
var placeholders = map[string]string{
	"output": "file", "report": "file", "log": "file", "files-from": "file",
	"plots": "folder", "checkpoint": "folder",
	"data": "data", "test": "data", "reference": "model", "baseline": "model",
	"input-shape": "name=shape", "input": "name=file", "scores": "layer", "train-output": "layer", "freeze": "layers",
	"p": "orders", "group": "p:q,...", "measures": "names", "columns": "names", "sort": "measure",
	"caption": "words", "label": "word", "fail-if": "condition",
}

// placeholder is a flag whose value has a word of its own in the help.
type placeholder struct {
	pflag.Value
	word string
}

func (p placeholder) Type() string { return p.word }

// nameValues gives the values of all flags words that people use: a file, a number.
func nameValues(flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		word := placeholders[f.Name]
		switch kind := f.Value.Type(); {
		case kind == "bool" || strings.Contains(f.Usage, "`"):
			return
		case word != "":
		case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"), strings.HasPrefix(kind, "float"):
			word = "number"
		case kind == "stringSlice", kind == "stringArray":
			word = "names"
		default:
			return
		}
		if strings.HasSuffix(f.Value.Type(), "Slice") && word == "number" {
			word = "numbers"
		}
		if f.DefValue == "[]" {
			f.DefValue = ""
		}
		f.Value = placeholder{f.Value, word}
	})
}

// formatOf returns the format that the ending of a file's name asks for.
func formatOf(path string) (render.Format, bool) {
	i := slices.IndexFunc(endings, func(e ending) bool { return strings.EqualFold(filepath.Ext(path), e.ext) })
	if i < 0 {
		return "", false
	}
	return endings[i].format, true
}

// ending is the end of a file's name, with the format that it means.
type ending struct {
	ext    string
	format render.Format
}

var endings = []ending{
	{".html", render.HTML},
	{".htm", render.HTML},
	{".csv", render.CSV},
	{".json", render.JSON},
	{".jsonl", render.JSONLines},
	{".tex", render.LaTeX},
	{".md", render.Markdown},
	{".markdown", render.Markdown},
	{".txt", render.TableFormat},
}

// onnxFile is the ending of models. otherFiles are endings of files that are neither models in ONNX nor
// reports: either opens nowhere under such a name.
const onnxFile = ".onnx"

var otherFiles = []string{
	".pt", ".pth", ".safetensors", ".h5", ".keras", ".tflite", ".pb", ".pkl", ".joblib", ".npz", ".npy",
	".svg", ".png", ".jpg", ".pdf", ".eps", ".xlsx", ".xls", ".ods", ".docx", ".odt",
	".tsv", ".xml", ".yaml", ".yml", ".ipynb", ".parquet", ".zip", ".gz",
}

// formatFlag is the choice of a format, by its name or by the ending of its files.
type formatFlag struct{ choice }

func (f formatFlag) Set(s string) error {
	if format, ok := formatOf("." + s); ok {
		s = string(format)
	}
	return f.choice.Set(s)
}

// writes is the annotation of a flag that names a file: what is written there.
const writes = "writes"

// addReportFile adds the flag -o of a command whose result is a report.
func addReportFile(cmd *cobra.Command, value *string) {
	cmd.Flags().StringVarP(value, "output", "o", "", "write the result to a file; its ending says the format, unless --format does")
	must(cmd.Flags().SetAnnotation("output", writes, []string{"report"}))
}

// addModelFile adds the flag -o of a command whose result is a model.
func addModelFile(cmd *cobra.Command, value *string) {
	cmd.Flags().StringVarP(value, "output", "o", "", "the model to write; - is standard output")
	must(cmd.Flags().SetAnnotation("output", writes, []string{"model"}))
}

// followEndings makes the format of a report that of its file's ending, unless --format
// is given. It refuses a model that is to be written under the name of a report, and a report
// under that of something else.
func (a *app) followEndings(cmd *cobra.Command) error {
	for _, name := range []string{"output", "report"} {
		f := cmd.Flags().Lookup(name)
		if f == nil {
			continue
		}
		format, ok := formatOf(f.Value.String())
		ext := strings.ToLower(filepath.Ext(f.Value.String()))
		switch what := f.Annotations[writes]; {
		case name == "report" || slices.Contains(what, "report"):
			switch {
			case cmd.Flags().Changed("format"):
			case ok:
				a.format = string(format)
			case name == "report" && ext == onnxFile: // where the model is to be written, it is told so
			case ext == onnxFile, slices.Contains(otherFiles, ext):
				return usagef("%s: the result is a report, which is no %s file: want an ending of %s%s", f.Value, ext, strings.Join(lists.Map(endings, func(e ending) string { return e.ext }), " "), plotsHint(cmd, ext))
			}
		case !slices.Contains(what, "model"):
		case ok:
			return usagef("-o %s: the output is a model in ONNX, and %s is no ending of one%s", f.Value, ext, reportHint(cmd, f.Value.String()))
		case slices.Contains(otherFiles, ext):
			return usagef("-o %s: the output is a model in ONNX, and %s is no ending of one: want %s", f.Value, ext, onnxFile)
		}
	}
	return nil
}

// plotsHint says how figures are written, where they may be what was wanted.
func plotsHint(cmd *cobra.Command, ext string) string {
	if cmd.Flags().Lookup("plots") == nil || !slices.Contains(render.FigureTypes(), strings.TrimPrefix(ext, ".")) {
		return ""
	}
	return "; --plots FOLDER writes the figures"
}

func reportHint(cmd *cobra.Command, path string) string {
	if cmd.Flags().Lookup("report") == nil {
		return ""
	}
	return fmt.Sprintf("; for the report give --report %s", path)
}
