package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/internal/lists"
)

// auditOptions are the flags of audit and diff, and what follows from them.
type auditOptions struct {
	modelFlags
	p, group, measures []string
	// columns are the facts and measures that tables show, nil for a usual choice.
	columns          []string
	perLayer, sha256 bool
	segments         bool
	list             bool
	reference        string
	data, scores     string
	// chosen says that --measures or --group are given, ordered that --p is.
	chosen, ordered bool
	verbose         bool
	failIf          []string
	conditions      []condition
	percentile      float64
	sort, baseline  string
	rescalings      int
	filesFrom       string
	shard           shard
	jobs            int
	plots           string
	output          string
	// metric asks diff for the path metric.
	metric bool
	// published is of analysis.Options.
	published bool
}

// measureFlags adds the flags that say what is measured, and what of it is shown.
func (o *auditOptions) measureFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&o.p, "p", []string{"1", "2", "inf"}, "orders of the path and Schatten norms")
	f.StringSliceVar(&o.group, "group", nil, "group norms p:q, such as 1:inf,2:2 (default: a usual choice)")
	o.measures = []string{"fast"}
	f.Var(&measureList{names: &o.measures}, "measures", "names of measures, or with orders, such as path_norm(2); or all, or fast: those that need no singular values, or tails: those of weightwatcher")
	f.Var((*columnList)(&o.columns), "columns", "what tables and csv show, in this order: counts and measures, such as parameters,path_norm(2),frobenius")
	f.StringArrayVar(&o.failIf, "fail-if", nil, "exit with code 1 where a condition holds, such as 'path_norm(2) > 1.1x' or 'max_abs > 10'; x and % are against the baseline")
	f.BoolVar(&o.verbose, "verbose", false, "show each node that keeps a model from being measured, and what helps")
	f.StringVar(&o.reference, "reference", "", "the model at initialisation, for distances")
	f.StringVar(&o.data, "data", "", dataUsage+"; for margins and bounds, which are of the training split unless it names one")
	f.StringVar(&o.scores, "scores", "", scoresUsage)
	f.Float64Var(&o.percentile, "percentile", 5, "percentile of the margins in bounds")
	f.BoolVar(&o.published, "published", false, "the conventions of the published code of Jiang et al.'s measures: the k-th margin, k = m/10, and a floor of 0.001 for magnitudes")
	f.IntVar(&o.jobs, "jobs", 0, "models to measure at a time (default: the number of threads)")
	must(cmd.RegisterFlagCompletionFunc("measures", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return slices.Concat(measureSets, measureNames()), cobra.ShellCompDirectiveNoFileComp
	}))
}

func measureNames() []string {
	return lists.Map(analysis.Registry(), func(i analysis.Info) string { return i.Name })
}

// analysis turns the flags into options.
func (o *auditOptions) analysis(a *app) (analysis.Options, error) {
	opt := analysis.Options{Bias: a.biasPolicy(), Percentile: o.percentile, Published: o.published, Seed: a.seed}
	if !(o.percentile > 0 && o.percentile <= 100) {
		return opt, fmt.Errorf("--percentile %v: want a number above 0, up to 100", o.percentile)
	}
	if o.jobs < 0 {
		return opt, fmt.Errorf("--jobs %d: want a positive number", o.jobs)
	}
	if o.rescalings < 0 {
		return opt, fmt.Errorf("--rescalings %d: want a positive number", o.rescalings)
	}
	if _, err := parseShapes(o.shapes); err != nil {
		return opt, fmt.Errorf("--input-shape: %w", err)
	}
	withOrders := o.named()
	opt.Names = o.measures
	var err error
	if opt.P, err = parseOrders(o.p); err != nil {
		return opt, fmt.Errorf("--p: %w", err)
	}
	pairs, err := parsePairs(o.group)
	if err != nil {
		return opt, fmt.Errorf("--group: %w", err)
	}
	for _, pq := range pairs {
		opt.Groups = append(opt.Groups, analysis.PQ{P: pq[0], Q: pq[1]})
	}
	if o.conditions, err = parseConditions(o.failIf); err != nil {
		return opt, err
	}
	if err := o.columnsWanted(&opt, withOrders); err != nil {
		return opt, err
	}
	return opt, o.known()
}

// known checks the names of measures, and that they have what they need.
func (o *auditOptions) known() error {
	needs, scopes := map[string]analysis.Need{}, map[string]analysis.Scope{}
	for _, i := range analysis.Registry() {
		needs[i.Name], scopes[i.Name] = i.Needs, i.Scope
	}
	for _, in := range o.namesIn() {
		for _, n := range in.names {
			name, _, _ := strings.Cut(n, "(")
			need, ok := needs[name]
			switch {
			case !ok && in.flag == "--measures" && slices.Contains(measureSets, name), !ok && in.flag != "--measures" && isFact(name):
			case !ok:
				return in.unknown(name)
			case need&analysis.NeedsData != 0 && o.data == "":
				return fmt.Errorf("%s %s needs labelled data: give --data", in.flag, n)
			case need&analysis.NeedsReference != 0 && o.reference == "":
				return fmt.Errorf("%s %s needs the model at initialisation: give --reference", in.flag, n)
			case scopes[name] == analysis.OfLayer && (in.flag == "--sort" || in.flag == "--columns" && !o.perLayer):
				return fmt.Errorf("%s %s is of single layers: %s", in.flag, n, in.ofLayers())
			}
		}
	}
	return nil
}

// measureSets are the words of --measures for several measures.
var measureSets = []string{"fast", "tails", "all"}

// namesIn are the names of measures in a flag, with their orders where they have some.
type namesIn struct {
	flag  string
	names []string
}

func (o *auditOptions) namesIn() []namesIn {
	out := []namesIn{{"--measures", o.measures}, {"--columns", o.columns}, {"--fail-if", measuresOf(o.conditions)}}
	if by := strings.TrimPrefix(o.sort, "-"); by != "" {
		out = append(out, namesIn{"--sort", []string{by}})
	}
	return out
}

// unknown is the error for a name that nothing has.
func (in namesIn) unknown(name string) error {
	known := slices.Concat(measureNames(), measureSets)
	if in.flag != "--measures" {
		known = slices.Concat(measureNames(), factNames())
	}
	return fmt.Errorf("%s: there is no measure %q%s; relupath audit --list has every name", in.flag, name, meant(name, known))
}

// ofLayers says what helps where a measure is of layers and the flag's names are of models.
func (in namesIn) ofLayers() string {
	if in.flag == "--columns" {
		return "add --per-layer"
	}
	return "give a measure of the whole network"
}

// unseen returns the measures asked for by name that the result in a format will
// not show, being measures of layers.
func (o *auditOptions) unseen(format string) []string {
	if o.perLayer || format == string(render.JSON) || format == string(render.JSONLines) {
		return nil // JSON has the layers always
	}
	var names []string
	for _, i := range analysis.Registry() {
		if i.Scope == analysis.OfLayer && slices.Contains(o.measures, i.Name) {
			names = append(names, i.Name)
		}
	}
	return names
}
