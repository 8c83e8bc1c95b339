package command

import (
	"strings"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
)

// terms explain the measures of the given names, in the order of the registry.
func terms(used func(name string) bool) []render.Term {
	var out []render.Term
	for _, i := range analysis.Registry() {
		if !used(i.Name) {
			continue
		}
		kept := " Rescaling changes it."
		if i.Invariant {
			kept = " Rescaling does not change it."
		}
		source := i.Source
		if i.Code != "" {
			source += ". Published code: " + i.Code
		}
		out = append(out, render.Term{Name: i.Name, Says: i.Says + kept, Formula: i.Formula, LaTeX: i.LaTeX, Source: source})
	}
	return out
}

// termsOf explains the measures that stand in tables, as cells or heads of columns.
func termsOf(tables []render.Table) []render.Term {
	names := map[string]bool{}
	for i := range tables {
		tables[i].Words(func(s string) {
			name, _, _ := strings.Cut(s, "(")
			names[name] = true
		})
	}
	return terms(func(name string) bool { return names[name] })
}
