package dataset

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestCSV(t *testing.T) {
	for _, test := range []struct {
		name, text, option string
		opt                Options
		x                  []float64
		labels             []int
		classes            int
		names              []string
		targets            []float64
	}{
		{name: "classes", text: "1,2.5,0\n-3,4e2,2\n", x: []float64{1, 2.5, -3, 400}, labels: []int{0, 2}, classes: 3},
		{name: "bytes then more", text: "1,255,0\r\n2,256,1", x: []float64{1, 255, 2, 256}, labels: []int{0, 1}, classes: 2},
		{name: "a column named as Parquet begins", text: "PAR1,y\n1,0\n2,1\n", option: ",header", x: []float64{1, 2}, labels: []int{0, 1}, classes: 2},
		{name: "regression", text: "1,0.5\n2,3\n", x: []float64{1, 2}, targets: []float64{0.5, 3}},
		{name: "negative labels", text: "1,-1\n2,1\n", x: []float64{1, 2}, targets: []float64{-1, 1}},
		{
			name: "numbers as names", text: "1,1\n2,-1.0\n3,-1\n4,10\n5,2", option: ",task=class",
			x: []float64{1, 2, 3, 4, 5}, labels: []int{1, 0, 0, 3, 2}, classes: 4, names: []string{"-1", "1", "2", "10"},
		},
		{name: "forced regression", text: "1,1\n2,0\n", option: ",task=regression", x: []float64{1, 2}, targets: []float64{1, 0}},
		{
			name: "text", text: "1, cat\n2,\"ant, red\"\n3, cat", x: []float64{1, 2, 3},
			labels: []int{1, 0, 1}, classes: 2, names: []string{"ant, red", "cat"},
		},
		{
			name: "names with an underscore", text: "1,1_0\n2,0_1\n3,0x1p1\n4,10\n", option: ",task=class",
			x: []float64{1, 2, 3, 4}, labels: []int{3, 0, 1, 2}, classes: 4, names: []string{"0_1", "0x1p1", "10", "1_0"},
		},
		{
			name: "given classes", text: "1,cat\n", option: ",classes=ant;cat;dog",
			x: []float64{1}, labels: []int{1}, classes: 3, names: []string{"ant", "cat", "dog"},
		},
		{name: "by index", text: "7,1,2\n", option: ",label=0", x: []float64{1, 2}, labels: []int{7}, classes: 8},
		{name: "from the end", text: "1,7,2\n", option: ",label=-2", x: []float64{1, 2}, labels: []int{7}, classes: 8},
		{name: "by name", text: "\xef\xbb\xbfa,the label,c\n1,7,2\n", option: ",header,label=the label", x: []float64{1, 2}, labels: []int{7}, classes: 8},
		{name: "semicolons", text: "a;b;y\n1;2;1\n", option: ",header,sep=;", x: []float64{1, 2}, labels: []int{1}, classes: 2},
		{name: "tabs", text: "1\t2\tb c\n", option: ",sep=tab,classes=a;b c", x: []float64{1, 2}, labels: []int{1}, classes: 2, names: []string{"a", "b c"}},
		{name: "spaces", text: "1 2 1\n3 4 0\n", option: ",sep=space", x: []float64{1, 2, 3, 4}, labels: []int{1, 0}, classes: 2},
		{
			name: "dropped", text: "id,a,when,y\nk7,1,noon,1\nk8,2,,0\n", option: ",header,drop=id;2",
			x: []float64{1, 2}, labels: []int{1, 0}, classes: 2,
		},
		{name: "the last is dropped", text: "1,2,1,x\n", option: ",drop=-1", x: []float64{1, 2}, labels: []int{1}, classes: 2},
		{
			name: "several targets", text: "a,b,c,d\n1,2,3,4\n5,6,7,8\n", option: ",header,label=d;0,drop=b",
			x: []float64{3, 7}, targets: []float64{4, 1, 8, 5},
		},
		{name: "name before index", text: "1,0\n5,6\n", option: ",header,label=0", x: []float64{5}, labels: []int{6}, classes: 7},
		{name: "header of another width", text: "2,1,no,yes\n5,1\n6,0\n", option: ",header", x: []float64{5, 6}, labels: []int{1, 0}, classes: 2},
		{name: "scaled", text: "1,2,0\n", option: ",mean=1/1,std=2/4,scale=1/2", x: []float64{-0.25, 0}, labels: []int{0}, classes: 1},
		{name: "limit after classes", text: "1,b\n2,a\n", option: ",limit=1", x: []float64{1}, labels: []int{1}, classes: 2, names: []string{"a", "b"}},
		{name: "limit of targets", text: "1,.5\n2,.25\n", option: ",limit=1", x: []float64{1}, targets: []float64{.5}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, data := range [][]byte{[]byte(test.text), pack([]byte(test.text))} {
				s := mustLoad(t, "csv:"+write(t, t.TempDir(), "x.csv", data)+test.option, test.opt)
				diff(t, "values", test.x, values(s))
				diff(t, "labels", test.labels, s.Labels())
				diff(t, "classes", test.classes, s.Classes())
				diff(t, "names", test.names, s.ClassNames())
				diff(t, "targets", test.targets, s.Targets())
			}
		})
	}
}

func TestCSVErrors(t *testing.T) {
	for _, test := range []struct {
		name, text, option string
		opt                Options
		want               []string
	}{
		{name: "empty", want: []string{"no examples"}},
		{name: "UTF-16", text: "\xff\xfe1\x00,\x002\x00\n\x00", want: []string{"text in UTF-16", "UTF-8"}},
		{name: "Parquet", text: "PAR1\x15\x04,\n", option: ",header", want: []string{"a Parquet file", "df.to_csv"}},
		{name: "a spreadsheet", text: "PK\x03\x04,\n", want: []string{"a zip archive", "df.to_csv"}},
		{name: "only a header", text: "a,b\n", option: ",header", want: []string{"no examples"}},
		{name: "one column", text: "1;2\n", want: []string{"line 1", "1 field", "add ,sep=;"}},
		{name: "quoted fields behind semicolons", text: "\"a b\";c;\"d, e\"\n1;2;3\n", option: ",header", want: []string{"line 1", "add ,sep=;"}},
		{name: "a text between numbers", text: "a;b;y\n1;seen, once;0\n", option: ",header,sep=;", want: []string{`line 2, column 1 ("b")`, "drop=b"}},
		{name: "decimal commas between semicolons", text: "1,5;2;0\n1;2;0\n", want: []string{"add ,sep=;"}},
		{name: "one word", text: "1\n", want: []string{"line 1", "1 field", "commas"}},
		{name: "another separator", text: "1,2\n", option: ",sep=tab", want: []string{"add ,sep=comma"}},
		{name: "dropped label", text: "1,2,3\n", option: ",drop=1,label=1", want: []string{"label's column is dropped"}},
		{name: "targets that are texts", text: "1,2,3\n4,x,6\n", option: ",label=1;2", want: []string{"line 2, column 1", `target "x"`}},
		{name: "a target twice", text: "1,2,3\n", option: ",label=1;-2", want: []string{"column 1 twice"}},
		{name: "only targets", text: "1,2\n", option: ",label=0;1", want: []string{"no column is left"}},
		{name: "all dropped", text: "1,2,3\n", option: ",drop=0;1", want: []string{"no column is left"}},
		{name: "no such column to drop", text: "1,2,3\n", option: ",drop=7", want: []string{"drop=7", "0..2"}},
		{name: "no such name to drop", text: "a,b,y\n1,2,3\n", option: ",header,drop=c", want: []string{`no column has the name "c"`, "a, b, y"}},
		{name: "ragged", text: "1,2,3\n\n1,2\n", want: []string{"line 3", "2 fields, want 3"}},
		{name: "header not named", text: "a,b\n1,2\n", want: []string{"line 1, column 0", `"a" is not a number`, "add ,header"}},
		{name: "label first", text: "1,2\nT,3\n", want: []string{"line 2, column 0", "label=0"}},
		{name: "decimal comma", text: "1,5;2;0\n", option: ",sep=;", want: []string{`"1,5"`, `decimal=","`}},
		{name: "decimal comma of a target", text: "1;2,5\n", option: ",sep=;,task=regression", want: []string{`label "2,5"`, `decimal=","`}},
		{name: "missing value", text: "a,b,y\n1,,0\n", option: ",header", want: []string{`line 2, column 1 ("b")`, `"" is not a number`}},
		{name: "Go's underscore", text: "1,2,0\n3,1_0,1\n", want: []string{"line 2, column 1", `"1_0" is not a number`}},
		{name: "hexadecimal", text: "0x1p4,2,0\n", want: []string{"line 1, column 0", `"0x1p4" is not a number`}},
		{name: "NaN", text: "1,2,0\n3,nan,1\n", want: []string{"line 2, column 1", "NaN", "leave the example out"}},
		{name: "infinite", text: "-inf,2,0\n", want: []string{"line 1, column 0", "-Inf"}},
		{name: "overflow", text: "1e400,2,0\n", want: []string{"line 1, column 0", "+Inf"}},
		{name: "beyond float32", text: "1e39,2,0\n", want: []string{"single precision"}},
		{name: "empty label", text: "1,2\n1,\n", want: []string{"line 2, column 1", "label is empty"}},
		{name: "mixed labels", text: "1,2\n1,3\n1,?\n", want: []string{"line 3", `label "?" is not a number`, "task=class"}},
		{name: "text as target", text: "1,2\n1,x\n", option: ",task=regression", want: []string{"line 2", `label "x"`}},
		{name: "NaN target", text: "1,2.5\n1,nan\n", option: ",task=regression", want: []string{"line 2", `label "nan"`}},
		{name: "unknown class", text: "1,b\n2,c\n", option: ",classes=a;b", want: []string{"record 1", `label "c"`, "a, b"}},
		{name: "no such name", text: "a,b\n1,2\n", option: ",header,label=y", want: []string{`no column has the name "y"`, "a, b"}},
		{name: "name without header", text: "1,2\n", option: ",label=y", want: []string{"add ,header"}},
		{name: "no such index", text: "1,2\n", option: ",label=2", want: []string{"label=2", "0..1"}},
		{name: "no such index from the end", text: "1,2\n", option: ",label=-3", want: []string{"label=-3"}},
		{name: "ambiguous name", text: "a,a,b\n1,2,3\n", option: ",header,label=a", want: []string{`several columns have the name "a"`, "index"}},
		{name: "quotes", text: "1,2\n1,a\"b\n", want: []string{"line 2", "quotes"}},
		{name: "quotes in header", text: "a\"b,2\n", option: ",header", want: []string{"line 1", "quotes"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := load("csv:"+write(t, t.TempDir(), "x.csv", []byte(test.text))+test.option, test.opt)
			wantDataError(t, err, append(test.want, "x.csv")...)
		})
	}
	cut := pack([]byte(strings.Repeat("1,2\n", 1000)))
	_, err := load("csv:"+write(t, t.TempDir(), "x.csv", cut[:len(cut)-9]), Options{})
	wantDataError(t, err, "truncated")
}

// TestShare: the two parts of a file are all of its examples once, the same for one seed, with
// classes numbered by the whole file.
func TestShare(t *testing.T) {
	var text strings.Builder
	for i := range 50 {
		fmt.Fprintf(&text, "%d,%s\n", i, []string{"a", "b", "rare"}[min(i%2+i/49, 2)])
	}
	path := "csv:" + write(t, t.TempDir(), "x.csv", []byte(text.String()))
	values := func(s *Set) []float64 {
		out := make([]float64, s.Len())
		order := make([]int, s.Len())
		for i := range order {
			order[i] = i
		}
		s.Batch64(out, order)
		return out
	}
	for _, seed := range []string{"1", "2"} {
		train := mustLoad(t, path+",split=0.8:"+seed, Options{})
		test := mustLoad(t, path+",split=0.8:"+seed, Options{DefaultSplit: Test, Like: train})
		all := append(values(train), values(test)...)
		if train.Len() != 40 || test.Len() != 10 || train.Split() != Train || test.Split() != Test {
			t.Errorf("%d and %d examples, %s and %s", train.Len(), test.Len(), train.Split(), test.Split())
		}
		if !slices.IsSorted(values(train)) || slices.Equal(values(train), all[10:]) {
			t.Errorf("training on %v", values(train))
		}
		slices.Sort(all)
		for i, v := range all {
			if v != float64(i) {
				t.Fatalf("seed %s: example %d is %v", seed, i, v)
			}
		}
		if train.Classes() != 3 || test.Classes() != 3 {
			t.Errorf("%d and %d classes", train.Classes(), test.Classes())
		}
		again := mustLoad(t, path+",split=0.8:"+seed+":train", Options{DefaultSplit: Test})
		if !slices.Equal(values(again), values(train)) {
			t.Error("the same seed gave another split")
		}
	}
	if _, err := load(path+",split=0.001:1", Options{}); err == nil || !strings.Contains(err.Error(), "0 to train on") {
		t.Error(err)
	}
	for _, wrong := range []string{"train", "0.8:x", "1.5", "0", "0.5:1:all", "0.5:1:test:1", ""} {
		if _, err := Parse(path + ",split=" + wrong); err == nil || !strings.Contains(err.Error(), "split=0.8:SEED") {
			t.Errorf("split=%s: %v", wrong, err)
		}
	}
	for _, text := range []string{"csv:x,split=0.8:1", "npy:x,y,split=0.25:7:test", "npz:x,split=test", "mnist:x,split=train"} {
		if s, err := Parse(text); err != nil || s.String() != text {
			t.Errorf("%s: %s, %v", text, s, err)
		}
	}
	if _, err := Parse("mnist:x,split=0.8:1"); err == nil {
		t.Error("a share of MNIST, which has a split")
	}
}

// TestSplitByColumn: a column of train and test divides a file; it is no feature, and classes are
// numbered by the whole file.
func TestSplitByColumn(t *testing.T) {
	path := "csv:" + write(t, t.TempDir(), "x.csv", []byte("x,part,label\n1,train,a\n2,Test,rare\n3,train,b\n4,test,a\n")) + ",header"
	firsts := func(s *Set) []float64 {
		order := []int{0, 1}
		out := make([]float64, len(order))
		s.Batch64(out, order)
		return out
	}
	train := mustLoad(t, path+",split=by:part", Options{})
	test := mustLoad(t, path+",split=by:part", Options{DefaultSplit: Test, Like: train})
	again := mustLoad(t, path+",split=by:1:test", Options{})
	for _, c := range []struct {
		s    *Set
		part Split
		want []float64
	}{{train, Train, []float64{1, 3}}, {test, Test, []float64{2, 4}}, {again, Test, []float64{2, 4}}} {
		if c.s.Len() != 2 || c.s.Split() != c.part || c.s.Classes() != 3 || !slices.Equal(firsts(c.s), c.want) {
			t.Errorf("%s: %d examples, %d classes, %v, want %v", c.s.Split(), c.s.Len(), c.s.Classes(), firsts(c.s), c.want)
		}
	}
	for with, want := range map[string]string{
		",split=by:x": "neither train nor test", ",split=by:y": "no column has the name", ",split=by:part,label=part": "is that of split=",
		",split=by:part:test,limit=1": "no example is in the test split",
	} {
		if _, err := load(path+with, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", with, err)
		}
	}
	for _, text := range []string{"csv:x,split=by:part", "csv:x,split=by:a:b:test"} {
		if s, err := Parse(text); err != nil || s.String() != text {
			t.Errorf("%s: %s, %v", text, s, err)
		}
	}
}
