package dataset

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

// texts32 are texts as NumPy writes the type U, each of n code points.
func texts32(order binary.AppendByteOrder, n int, list ...string) (b []byte) {
	for _, text := range list {
		runes := append([]rune(text), make([]rune, n)...)
		for _, r := range runes[:n] {
			b = order.AppendUint32(b, uint32(r))
		}
	}
	return b
}

// texts8 are texts as NumPy writes the type S, each of n bytes.
func texts8(n int, list ...string) (b []byte) {
	for _, text := range list {
		b = append(b, text+strings.Repeat("\x00", n-len(text))...)
	}
	return b
}

// Labels in arrays of texts count as those of csv files do.
func TestTextArrays(t *testing.T) {
	dir := t.TempDir()
	x := write(t, dir, "x.npy", npyFile("|u1", "False", "(3, 1)", 7, 8, 9))
	little := func(n int, list ...string) []byte { return texts32(binary.LittleEndian, n, list...) }
	for _, test := range []struct {
		name, option string
		y            []byte
		opt          Options
		labels       []int
		names        []string
		targets      []float64
	}{
		{name: "names", y: npyFile("<U5", "False", "(3,)", little(5, "rot", "grün", "rot")...), labels: []int{1, 0, 1}, names: []string{"grün", "rot"}},
		{name: "big-endian", y: npyFile(">U4", "False", "(3,)", texts32(binary.BigEndian, 4, "b", "a", "b")...), labels: []int{1, 0, 1}, names: []string{"a", "b"}},
		{name: "bytes", y: npyFile("|S3", "False", "(3, 1)", texts8(3, "b", " a", "b ")...), labels: []int{1, 0, 1}, names: []string{"a", "b"}},
		{name: "in columns", y: npyFile("|S1", "True", "(3, 1)", 'b', 'a', 'b'), labels: []int{1, 0, 1}, names: []string{"a", "b"}},
		{name: "a row", y: npyFile("|S1", "False", "(1, 3)", 'b', 'a', 'b'), labels: []int{1, 0, 1}, names: []string{"a", "b"}},
		{name: "a limit", option: ",limit=1", y: npyFile("|S1", "False", "(3,)", 'b', 'a', 'c'), labels: []int{1}, names: []string{"a", "b", "c"}},
		{name: "a limit of a row", option: ",limit=1", y: npyFile("|S1", "False", "(1, 3)", 'b', 'a', 'c'), labels: []int{1}, names: []string{"a", "b", "c"}},
		{name: "a limit and a list", option: ",limit=2,classes=a;b", y: npyFile("|S1", "False", "(3,)", 'b', 'a', 'c'), labels: []int{1, 0}, names: []string{"a", "b"}},
		{name: "a list", option: ",classes=c;b;a", y: npyFile("<U1", "False", "(3,)", little(1, "a", "b", "a")...), labels: []int{2, 1, 2}, names: []string{"c", "b", "a"}},
		{name: "whole numbers", y: npyFile("<U2", "False", "(3,)", little(2, "2", "0", "2")...), labels: []int{2, 0, 2}},
		{name: "numbers of a list", option: ",classes=-1;1", y: npyFile("<U3", "False", "(3,)", little(3, "1.0", "-1", "1")...), labels: []int{1, 0, 1}, names: []string{"-1", "1"}},
		{name: "numbers", y: npyFile("|S3", "False", "(3,)", texts8(3, "1.5", "-1", "2")...), targets: []float64{1.5, -1, 2}},
		{name: "numbers as classes", option: ",task=class", y: npyFile("|S3", "False", "(3,)", texts8(3, "1.5", "-1", "1.5")...), labels: []int{1, 0, 1}, names: []string{"-1", "1.5"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			y := write(t, t.TempDir(), "y.npy", test.y)
			s := mustLoad(t, "npy:"+x+","+y+test.option, test.opt)
			diff(t, "labels", test.labels, s.Labels())
			diff(t, "names", test.names, s.ClassNames())
			diff(t, "targets", test.targets, s.Targets())
		})
	}
	// A list that comes later may have numbers among words.
	mixed := write(t, dir, "mixed.npy", npyFile("|S1", "False", "(3,)", '1', 'a', '2'))
	open := mustLoad(t, "npy:"+x+","+mixed, Options{Unlisted: true})
	wantDataError(t, open.Unlisted(), "record 1", `label "a" is not a number`, "add task=class")
	listed, err := open.WithClasses([]string{"a", "2", "1"})
	if err != nil || listed.Unlisted() != nil {
		t.Fatal(err, listed.Unlisted())
	}
	diff(t, "listed", []int{2, 0, 1}, listed.Labels())

	// A test array that lacks a class has the numbers of the training file.
	train := mustLoad(t, "csv:"+write(t, dir, "train.csv", []byte("1,a\n2,b\n3,c\n")), Options{})
	y := write(t, dir, "y.npy", npyFile("<U1", "False", "(3,)", little(1, "c", "c", "b")...))
	diff(t, "like", []int{2, 2, 1}, mustLoad(t, "npy:"+x+","+y, Options{Like: train}).Labels())

	for _, test := range []struct {
		name, option string
		y            []byte
		want         []string
	}{
		{"several", "", npyFile("|S1", "False", "(3, 2)", 'a', 'b', 'a', 'b', 'a', 'b'), []string{"shape [3 2] holds 2 texts"}},
		{"empty", "", npyFile("|S1", "False", "(3,)", 'a', 0, 'b'), []string{"record 1", "empty"}},
		{"no code point", "", npyFile("<U1", "False", "(3,)", 'a', 0, 0, 0, 0, 0, 0x11, 0, 'b', 0, 0, 0), []string{"record 1", "no text"}},
		{"no room", "", npyFile("<U0", "False", "(1000000000000,)"), []string{`element type "<U0"`}},
		{"too early", "", npyFile("<U9", "False", "(3,)", 'a'), []string{"type <U9 should take 108 bytes"}},
		{"overflow", "", npyFile("<U9", "False", "(1000000000, 1000000000, 1000000000)"), []string{"is not possible"}},
		{"mixed", "", npyFile("|S1", "False", "(3,)", '1', 'a', '2'), []string{"record 1", `label "a" is not a number`, "add task=class"}},
		{"no target", ",task=regression", npyFile("|S1", "False", "(3,)", '1', 'a', '2'), []string{"record 1", `label "a"`}},
		{"of no list", ",classes=a;b", npyFile("|S1", "False", "(3,)", 'a', 'c', 'b'), []string{"record 1", `label "c" is none of the classes a, b`}},
		{"more follow", "", npyFile("|S1", "False", "(3,)", 'a', 'a', 'b', 'b'), []string{"bytes follow"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := load("npy:"+x+","+write(t, t.TempDir(), "y.npy", test.y)+test.option, Options{})
			wantDataError(t, err, test.want...)
		})
	}
	one := write(t, dir, "one.npy", npyFile("|u1", "False", "(1, 1)", 7))
	row := write(t, dir, "row.npy", npyFile("|S1", "False", "(1, 2)", 'a', 'b'))
	_, err = load("npy:"+one+","+row, Options{})
	wantDataError(t, err, "holds 2 texts")
	_, err = load("npy:"+row+","+row, Options{})
	wantDataError(t, err, "the elements are texts", "astype")
}

// What is kept of distinct labels counts against the memory.
func TestTextsTakeMemory(t *testing.T) {
	withMemory(t, 1<<14)
	var list []string
	for i := range 1000 {
		list = append(list, fmt.Sprint(i))
	}
	dir := t.TempDir()
	x := write(t, dir, "x.npy", npyFile("|u1", "False", "(1000, 1)", make([]byte, 1000)...))
	_, err := load("npy:"+x+","+write(t, dir, "y.npy", npyFile("|S3", "False", "(1000,)", texts8(3, list...)...)), Options{})
	wantDataError(t, err, "labels take", "a quarter of the memory")
}
