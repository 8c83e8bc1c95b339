package dataset

import (
	"context"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/relupath/relupath/internal/words"
)

// Split is the part of a data set: the training or the test examples.
type Split string

// The splits. The zero value leaves the choice to Options.DefaultSplit.
const (
	Train Split = "train"
	Test  Split = "test"
)

// Layout is the order of the axes of an image.
type Layout string

// The layouts: channel-height-width and height-width-channel. LayoutSwap asks for
// whichever of them the data do not have; the zero value leaves the data as they
// are.
const (
	LayoutCHW  Layout = "chw"
	LayoutHWC  Layout = "hwc"
	LayoutSwap Layout = "swap"
)

// Task is what the labels are.
type Task string

// The tasks. The zero value leaves the decision to the data: see the
// package's section Labels.
const (
	Classification Task = "class"
	Regression     Task = "regression"
)

// Spec is a parsed data spec: where the examples lie and how to read them.
// The zero value of every field but Format and Paths is its default.
type Spec struct {
	// Format is mnist, idx, cifar10, cifar100, svhn, npz, npy or csv.
	Format string
	// Paths are the folder, the file, or the files of examples and labels.
	Paths []string
	// Split is empty where the spec leaves it to the caller.
	Split Split
	// Share is the part of the examples of csv, npy and npz that are the training split,
	// drawn at random with ShareSeed; the others are the test split. 0 divides nothing.
	Share     float64
	ShareSeed uint64
	// SplitBy is the column of csv, by name or index, that says train or test of each example;
	// empty for none.
	SplitBy string
	// Limit keeps the first examples only; 0 keeps all. It comes before Share.
	Limit int
	// Scale multiplies every value; 0 means 1/255 for pixels and 1 otherwise.
	Scale float64
	// Mean is subtracted after scaling, then Std divides: one number or one a
	// channel; empty means 0 and 1.
	Mean, Std []float64
	// Transpose is the layout wanted.
	Transpose Layout
	// Task says what the labels of csv, npy and npz are.
	Task Task
	// Classes are the names of the classes in the order of their numbers: see
	// Set.WithClasses. Empty leaves the order to the labels.
	Classes []string
	// Labels are the csv columns of the label, or of several targets, by name or index;
	// none means the last.
	Labels []string
	// Header says that the first line of a csv file is a header.
	Header bool
	// Separator stands between the fields of a csv file; zero means a comma.
	Separator rune
	// X and Y name the arrays of an npz file that hold examples and labels; empty are x and y,
	// or those of the split.
	X, Y string
	// Drop are the csv columns that are no features, by name or index.
	Drop []string
}

// Files returns the files that the spec reads: of a folder those of both splits that are there.
func (s Spec) Files() []string {
	find := formats[s.Format].find
	if find == nil {
		return slices.Clone(s.Paths)
	}
	var out []string
	for _, split := range []Split{Train, Test} {
		if files, err := find(s.Paths[0], split); err == nil {
			out = append(out, files...)
		}
	}
	return out
}

// format describes what a spec of one format may hold, and reads it.
type format struct {
	paths   []string // what each path is, for messages
	options string   // options beyond those of every format
	read    func(ctx context.Context, s Spec, split Split) (*table, error)
	// find lists the files of a split in a folder; nil where the paths are files.
	find func(dir string, split Split) ([]string, error)
}

var formats = map[string]format{
	"mnist":    {[]string{"DIR"}, "split", loadMNIST, findMNIST},
	"idx":      {[]string{"IMAGES", "LABELS"}, "", loadIDX, nil},
	"cifar10":  {[]string{"DIR"}, "split", cifar10.load, cifar10.find},
	"cifar100": {[]string{"DIR"}, "split", cifar100.load, cifar100.find},
	"svhn":     {[]string{"FILE.mat"}, "", loadSVHN, nil},
	"npz":      {[]string{"FILE"}, "split task x y", loadNPZ, nil},
	"npy":      {[]string{"X", "Y"}, "task split", loadNPY, nil},
	"csv":      {[]string{"FILE"}, "label header task sep drop split", loadCSV, nil},
}

// likely completes a path without a format by what its ending means, as "; such as csv:a.csv".
func likely(text string) string {
	path, _, _ := strings.Cut(text, ",")
	path = strings.TrimSuffix(path, ".gz")
	switch name := strings.TrimPrefix(strings.ToLower(filepath.Ext(path)), "."); name {
	case "csv", "npz":
		return fmt.Sprintf("; such as %s:%s", name, text)
	case "tsv", "tab":
		return fmt.Sprintf("; such as csv:%s,sep=tab", text)
	case "npy":
		return fmt.Sprintf("; such as npy:%s,LABELS.npy", path)
	case "parquet", "xlsx", "xls", "json", "feather":
		return "; of a " + name + " file, " + asTable
	case "mat":
		return fmt.Sprintf("; such as svhn:%s", text)
	}
	return ""
}

const commonOptions = "limit scale mean std transpose classes"

// Parse reads a data spec such as "mnist:data,split=test,limit=1000"; the
// package's comment has the grammar. It opens no file. Errors are *SpecError.
func Parse(text string) (Spec, error) {
	fail := func(problem, remedy string) (Spec, error) {
		return Spec{}, &SpecError{Spec: text, Problem: problem, Remedy: remedy}
	}
	name, rest, found := strings.Cut(text, ":")
	f, known := formats[name]
	if !found || !known {
		problem, path := fmt.Sprintf("format %q is not known", name), rest
		if !found {
			problem, path = "no format before the path", text
		}
		return fail(problem, "write FORMAT:PATH with one of "+strings.Join(slices.Sorted(maps.Keys(formats)), ", ")+likely(path))
	}
	fields := splitOn(rest, ',')
	usage := name + ":" + strings.Join(f.paths, ",")
	if len(fields) < len(f.paths) {
		return fail(fmt.Sprintf("got %d of %s", len(fields), words.Count(len(f.paths), "path")), "write "+usage)
	}
	s := Spec{Format: name, Paths: slices.Clip(fields[:len(f.paths)])}
	for i, p := range s.Paths {
		if p == "" {
			return fail("the path "+f.paths[i]+" is empty", "write "+usage)
		}
	}
	allowed := strings.Fields(f.options + " " + commonOptions)
	var seen []string
	for _, field := range fields[len(f.paths):] {
		key, value, hasValue := strings.Cut(field, "=")
		switch {
		case !slices.Contains(allowed, key):
			remedy := "the options are " + strings.Join(allowed, ", ") + "; a comma inside a path is written twice"
			if name == "csv" && !hasValue {
				remedy += "; several columns are separated by semicolons, as in label=A;B"
			}
			return fail(fmt.Sprintf("option %q is not known for %s", key, name), remedy)
		case slices.Contains(seen, key):
			return fail(fmt.Sprintf("option %s is given twice", key), "keep one of them")
		}
		seen = append(seen, key)
		if want := s.set(key, value, hasValue); want != "" {
			return fail(fmt.Sprintf("option %q", field), "want "+want)
		}
	}
	if len(s.Labels) > 1 && (s.Classes != nil || s.Task == Classification) {
		return fail("several columns hold targets, not classes", "name one column with label=, or leave classes= and task=class out")
	}
	if s.Classes != nil && s.Task == Regression {
		return fail("targets have no classes", "leave classes= or task=regression out")
	}
	return s, nil
}

// set stores one option and returns what it should have been, or nothing.
func (s *Spec) set(key, value string, hasValue bool) (want string) {
	var ok bool
	switch key {
	case "split":
		ok, want = s.setSplit(value)
	case "limit":
		n, err := strconv.Atoi(value)
		s.Limit = n
		ok, want = err == nil && n > 0, "limit=N with a whole number from 1"
	case "scale":
		s.Scale, ok = parseRatio(value)
		ok, want = ok && s.Scale != 0, "scale=S with a number or a fraction such as 1/255, not 0"
	case "mean":
		s.Mean, ok = parseList(value)
		want = "mean=M or mean=M1/M2/M3 with one number a channel"
	case "std":
		s.Std, ok = parseList(value)
		ok = ok && !slices.ContainsFunc(s.Std, func(v float64) bool { return v <= 0 })
		want = "std=D or std=D1/D2/D3 with one positive number a channel"
	case "transpose":
		s.Transpose = Layout(value)
		if !hasValue {
			s.Transpose = LayoutSwap
		}
		ok = !hasValue || s.Transpose == LayoutCHW || s.Transpose == LayoutHWC
		want = "transpose, transpose=chw or transpose=hwc"
	case "task":
		s.Task = Task(value)
		ok, want = s.Task == Classification || s.Task == Regression, "task=class or task=regression"
	case "classes":
		s.Classes = splitOn(value, ';')
		_, err := places(s.Classes)
		ok = err == nil && !slices.Contains(s.Classes, "")
		want = "classes=A;B;C with the name of each class once; a semicolon inside a name is written twice"
	case "label":
		s.Labels = splitOn(value, ';')
		ok, want = !slices.Contains(s.Labels, ""), "label=COL with a column's name or its index from 0, or label=A;B with those of several targets"
	case "x":
		s.X, ok, want = value, value != "", "x=NAME with the name of the array of examples"
	case "y":
		s.Y, ok, want = value, value != "", "y=NAME with the name of the array of labels"
	case "sep":
		s.Separator, ok = parseSeparator(value)
		want = "sep=CHARACTER with one character, or sep=tab, space or comma"
	case "drop":
		s.Drop = splitOn(value, ';')
		ok, want = !slices.Contains(s.Drop, ""), "drop=A;B with names of columns or their indices from 0"
	case "header":
		s.Header, ok, want = true, !hasValue, "header without a value"
	default:
		panic("dataset: option " + key + " is allowed but not handled")
	}
	if ok {
		return ""
	}
	return want
}

// divided has the formats whose examples a share divides.
var divided = []string{"csv", "npy", "npz"}

// setSplit reads train, test, or SHARE:SEED with a part behind it or not.
func (s *Spec) setSplit(value string) (ok bool, want string) {
	named := func(text string) bool {
		s.Split = Split(text)
		return s.Split == Train || s.Split == Test
	}
	share := "split=0.8:SEED, the share of the examples to train on and a whole number, or split=0.8:SEED:test"
	switch want = "split=train or split=test"; s.Format {
	case "csv":
		want = share + ", or split=by:COLUMN, a column of train and test, or split=by:COLUMN:test"
	case "npy":
		want = share
	case "npz":
		want += ", or " + share
	}
	if s.Format != "csv" && s.Format != "npy" && named(value) {
		return true, ""
	}
	if s.Split = ""; !slices.Contains(divided, s.Format) {
		return false, want
	}
	if by, column := strings.CutPrefix(value, "by:"); column && s.Format == "csv" {
		if k := strings.LastIndexByte(by, ':'); k >= 0 && named(by[k+1:]) {
			by = by[:k]
		} else {
			s.Split = ""
		}
		s.SplitBy = by
		return by != "", want
	}
	parts := strings.Split(value, ":")
	var seed error
	if s.Share, ok = parseNumber(parts[0]); len(parts) > 1 {
		s.ShareSeed, seed = strconv.ParseUint(parts[1], 10, 64)
	}
	ok = ok && s.Share > 0 && s.Share < 1 && seed == nil && len(parts) <= 3 && (len(parts) < 3 || named(parts[2]))
	return ok, want
}

// String writes the spec so that Parse returns it again.
func (s Spec) String() string {
	parts := slices.Clone(s.Paths)
	add := func(key, value string) {
		if value != "" {
			parts = append(parts, key+"="+value)
		}
	}
	switch split := string(s.Split); {
	case s.SplitBy != "":
		add("split", strings.TrimSuffix("by:"+s.SplitBy+":"+split, ":"))
	case s.Share == 0:
		add("split", split)
	default:
		add("split", strings.TrimSuffix(fmt.Sprintf("%s:%d:%s", formatList([]float64{s.Share}), s.ShareSeed, split), ":"))
	}
	if s.Limit != 0 {
		add("limit", strconv.Itoa(s.Limit))
	}
	if s.Scale != 0 {
		add("scale", formatList([]float64{s.Scale}))
	}
	add("mean", formatList(s.Mean))
	add("std", formatList(s.Std))
	if s.Transpose == LayoutSwap {
		parts = append(parts, "transpose")
	} else {
		add("transpose", string(s.Transpose))
	}
	add("task", string(s.Task))
	add("classes", joinOn(s.Classes))
	add("label", joinOn(s.Labels))
	add("x", s.X)
	add("y", s.Y)
	add("sep", formatSeparator(s.Separator))
	add("drop", joinOn(s.Drop))
	if s.Header {
		parts = append(parts, "header")
	}
	for i, p := range parts {
		parts[i] = strings.ReplaceAll(p, ",", ",,")
	}
	return s.Format + ":" + strings.Join(parts, ",")
}

// separators are the words for characters that a shell or a spec takes for something else.
var separators = map[string]rune{"tab": '\t', "space": ' ', "comma": ','}

func parseSeparator(text string) (rune, bool) {
	if r, ok := separators[text]; ok {
		return r, true
	}
	r, n := utf8.DecodeRuneInString(text)
	return r, n == len(text) && n > 0 && r != utf8.RuneError && r != '"' && r != '\r' && r != '\n'
}

func formatSeparator(sep rune) string {
	for word, r := range separators {
		if r == sep {
			return word
		}
	}
	if sep == 0 {
		return ""
	}
	return string(sep)
}

// joinOn is the inverse of splitOn with semicolons.
func joinOn(list []string) string {
	var out []string
	for _, text := range list {
		out = append(out, strings.ReplaceAll(text, ";", ";;"))
	}
	return strings.Join(out, ";")
}

// splitOn cuts at single separators; a doubled one is a separator in a field.
func splitOn(text string, sep byte) []string {
	var fields []string
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != sep {
			b.WriteByte(text[i])
			continue
		}
		if i+1 < len(text) && text[i+1] == sep {
			b.WriteByte(sep)
			i++
			continue
		}
		fields = append(fields, b.String())
		b.Reset()
	}
	return append(fields, b.String())
}

// parseFloat is strconv.ParseFloat without what Go alone writes: 1_0, which is a name, and 0x1p4.
func parseFloat(text string) (float64, error) {
	if strings.ContainsAny(text, "_xX") {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(text, 64)
}

// parseNumber accepts finite numbers only.
func parseNumber(text string) (float64, bool) {
	v, err := parseFloat(text)
	return v, err == nil && !math.IsInf(v, 0) && !math.IsNaN(v)
}

// parseRatio reads a number or a fraction a/b.
func parseRatio(text string) (float64, bool) {
	num, den, isRatio := strings.Cut(text, "/")
	v, ok := parseNumber(num)
	if !ok || !isRatio {
		return v, ok
	}
	d, ok := parseNumber(den)
	v /= d
	return v, ok && !math.IsInf(v, 0) && !math.IsNaN(v)
}

// parseList reads numbers joined by slashes or semicolons.
func parseList(text string) ([]float64, bool) {
	var list []float64
	for field := range strings.SplitSeq(strings.ReplaceAll(text, ";", "/"), "/") {
		v, ok := parseNumber(field)
		if !ok {
			return nil, false
		}
		list = append(list, v)
	}
	return list, true
}

func formatList(list []float64) string {
	var text []string
	for _, v := range list {
		text = append(text, strconv.FormatFloat(v, 'g', -1, 64))
	}
	return strings.Join(text, "/")
}
