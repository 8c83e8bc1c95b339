package dataset

import (
	"encoding/binary"
	"math"
	"testing"
)

// A list of classes decides what number a label has, whichever labels a file
// happens to hold.
func TestClasses(t *testing.T) {
	for _, test := range []struct {
		name, text, option string
		labels             []int
	}{
		{"a file that lacks a class", "1,c\n2,b\n", ",classes=a;b;c", []int{2, 1}},
		{"another order", "1,a\n2,b\n", ",classes=b;a", []int{1, 0}},
		{"numbers that do not begin at 0", "1,3\n2,1\n", ",classes=1;2;3", []int{2, 0}},
		{"numbers that leave some out", "1,8\n2,3\n", ",classes=3;8", []int{1, 0}},
		{"negative numbers", "1,-1\n2,1\n", ",classes=1;-1", []int{1, 0}},
		{"numbers by value", "1,1.0\n2,2.0\n", ",classes=2;1", []int{1, 0}},
		{"fractions", "1,0.5\n2,1.5\n", ",classes=1.5;0.5", []int{1, 0}},
		{"numbers for names", "1,1\n2,0\n", ",classes=no;yes", []int{1, 0}},
		{"a semicolon in a name", "1,\"a;b\"\n2,c\n", ",classes=c;a;;b", []int{1, 0}},
		{"a comma in a name", "1,\"a,b\"\n2,c\n", ",classes=c;a,,b", []int{1, 0}},
		{"spaces around names", "1, <=50K\n2,\" >50K\"\n", ",classes= <=50K; >50K", []int{0, 1}},
		{"names and numbers", "1,x\n2,7\n", ",classes=7;x", []int{1, 0}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := mustLoad(t, "csv:"+write(t, t.TempDir(), "x.csv", []byte(test.text))+test.option, Options{})
			diff(t, "labels", test.labels, s.Labels())
			if !s.ClassesGiven() {
				t.Error("the classes were given")
			}
		})
	}
	for _, test := range []struct {
		name, text, option string
		want               []string
	}{
		{"an unknown name", "1,a\n2,d\n", ",classes=a;b", []string{"record 1", `label "d"`, "a, b", "classes="}},
		{"a number beyond the names", "1,0\n2,2\n", ",classes=no;yes", []string{"record 1", `label "2"`}},
		{"a number that is left out", "1,3\n2,4\n", ",classes=3;8", []string{"record 1", `label "4"`}},
	} {
		_, err := load("csv:"+write(t, t.TempDir(), "x.csv", []byte(test.text))+test.option, Options{})
		wantDataError(t, err, test.want...)
	}
}

func doubles(list ...float64) (b []byte) {
	for _, v := range list {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	return b
}

// Labels that a list names may be any numbers, those of an array too, and two names of
// one class are refused.
func TestClassesOfNumbers(t *testing.T) {
	dir := t.TempDir()
	x := write(t, dir, "x.npy", npyFile("<f8", "False", "(3, 1)", doubles(1, 2, 3)...))
	for _, test := range []struct {
		name, option string
		y            []byte
		labels       []int
	}{
		{"integers below 0", ",classes=-1;1", npyFile("|i1", "False", "(3,)", 1, 255, 1), []int{1, 0, 1}},
		{"floats", ",classes=-1;1", npyFile("<f8", "False", "(3,)", doubles(1, -1, 1)...), []int{1, 0, 1}},
		{"numbers for names", ",classes=no;yes", npyFile("<f8", "False", "(3, 1)", doubles(1, 0, 1)...), []int{1, 0, 1}},
		{"fractions", ",classes=1.5;0.5", npyFile("<f8", "False", "(3,)", doubles(0.5, 1.5, 0.5)...), []int{1, 0, 1}},
	} {
		y := write(t, dir, "y.npy", test.y)
		s := mustLoad(t, "npy:"+x+","+y+test.option, Options{})
		diff(t, test.name, test.labels, s.Labels())
		diff(t, test.name+", as the training set", test.labels, mustLoad(t, "npy:"+x+","+y, Options{Like: s}).Labels())
		s, err := mustLoad(t, "npy:"+x+","+y+",task=regression", Options{}).WithClasses(s.ClassNames())
		if err != nil {
			t.Fatal(err)
		}
		diff(t, test.name+", targets", test.labels, s.Labels())
		diff(t, test.name, Classification, s.Task())
	}
	y := write(t, dir, "y.npy", npyFile("<f8", "False", "(3,)", doubles(1, -1, 2)...))
	_, err := load("npy:"+x+","+y+",classes=-1;1", Options{})
	wantDataError(t, err, "record 2", `label "2"`, "-1, 1")
	two := write(t, dir, "two.npy", npyFile("<f8", "False", "(3, 2)", doubles(1, 0, 1, 0, 1, 0)...))
	_, err = load("npy:"+x+","+two+",classes=a;b", Options{})
	wantDataError(t, err, "2 targets an example", "one class label")
	s := mustLoad(t, "csv:"+write(t, dir, "z.csv", []byte("1,01\n2,1\n")), Options{})
	for _, names := range [][]string{{"01", "1"}, {"a", " a"}, {"0", "-0"}} {
		_, err := s.WithClasses(names)
		wantDataError(t, err, "are one class")
	}
}

// A test set has the numbers of its training set, whatever it holds.
func TestLike(t *testing.T) {
	for _, test := range []struct {
		name, train, option, test string
		labels                    []int
	}{
		{"a class is missing", "1,a\n2,b\n3,c\n", "", "1,c\n2,b\n", []int{2, 1}},
		{"the order of the spec", "1,a\n2,b\n", ",classes=b;a", "1,a\n", []int{1}},
		{"only the numbers of a mixed file", "1,1\n2,a\n", ",task=class", "1,1\n", []int{0}},
		{"fractions", "1,0.5\n2,1.5\n", ",task=class", "1,1.5\n", []int{1}},
		{"whole numbers", "1,2\n2,0\n", "", "1,1\n", []int{1}},
	} {
		dir := t.TempDir()
		train := mustLoad(t, "csv:"+write(t, dir, "x.csv", []byte(test.train))+test.option, Options{})
		s := mustLoad(t, "csv:"+write(t, dir, "y.csv", []byte(test.test)), Options{Like: train})
		diff(t, test.name, test.labels, s.Labels())
	}
	for _, test := range []struct {
		train, option, test string
		want                []string
	}{
		{"1,a\n2,b\n", "", "1,a\n2,c\n", []string{"record 1", `label "c"`, "a, b"}},
		{"1,0\n2,1\n", "", "1,a\n2,b\n", []string{"names (a, b)", "whole numbers"}},
		{"1,1\n2,a\n", ",task=class", "1,0\n", []string{"record 0", `label "0"`}},
	} {
		dir := t.TempDir()
		train := mustLoad(t, "csv:"+write(t, dir, "x.csv", []byte(test.train))+test.option, Options{})
		_, err := load("csv:"+write(t, dir, "y.csv", []byte(test.test)), Options{Like: train})
		wantDataError(t, err, test.want...)
	}
}

// Renumbering a subset finds the labels of its own examples.
func TestWithClassesOfASubset(t *testing.T) {
	s := mustLoad(t, "csv:"+write(t, t.TempDir(), "x.csv", []byte("1,a\n2,b\n3,c\n")), Options{})
	s, err := s.Subset([]int{2, 0}).WithClasses([]string{"c", "b", "a"})
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "labels", []int{0, 2}, s.Labels())
	diff(t, "values", []float64{3, 1}, values(s))
}
