package command

import (
	"cmp"
	"path/filepath"
	"slices"
	"strings"
)

// compareFiles orders paths as people count: folder by folder, and numbers in
// names by their value, so that epoch_5 comes before epoch_10.
func compareFiles(a, b string) int {
	sep := string(filepath.Separator)
	return cmp.Or(slices.CompareFunc(strings.Split(a, sep), strings.Split(b, sep), compareNames), strings.Compare(a, b))
}

// naturally puts paths in the order of compareFiles that stand in that of their bytes, in which a shell
// lists what fits a pattern; others stand as somebody wrote them.
func naturally(paths []string) []string {
	if !slices.IsSorted(paths) {
		return paths
	}
	return slices.SortedFunc(slices.Values(paths), compareFiles)
}

func compareNames(a, b string) int {
	for a != "" && b != "" {
		x, y := number(a), number(b)
		if x == "" || y == "" {
			if a[0] != b[0] {
				return cmp.Compare(a[0], b[0])
			}
			a, b = a[1:], b[1:]
			continue
		}
		a, b = a[len(x):], b[len(y):]
		x, y = strings.TrimLeft(x, "0"), strings.TrimLeft(y, "0")
		if c := cmp.Or(cmp.Compare(len(x), len(y)), strings.Compare(x, y)); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

// number returns the digits that s begins with.
func number(s string) string { return s[:len(s)-len(strings.TrimLeft(s, "0123456789"))] }
