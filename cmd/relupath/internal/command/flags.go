package command

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/relupath/relupath/internal/lists"
)

// choice is a flag that takes one of a few words.
type choice struct {
	value *string
	words []string
}

func (c choice) String() string {
	if c.value == nil {
		return ""
	}
	return *c.value
}

func (c choice) Set(s string) error {
	if !slices.Contains(c.words, s) {
		return fmt.Errorf("want one of %s%s", strings.Join(c.words, ", "), meant(s, c.words))
	}
	*c.value = s
	return nil
}

func (choice) Type() string { return "name" }

// addChoice adds a flag of one of a few words, the first by default, with
// completion.
func addChoice(cmd *cobra.Command, value *string, name, usage string, words ...string) {
	*value = words[0]
	flags := cmd.Flags()
	if cmd.Parent() == nil && cmd.Name() == root {
		flags = cmd.PersistentFlags()
	}
	flag := pflag.Value(choice{value, words})
	if name == "format" {
		flag = formatFlag{choice{value, words}}
	}
	flags.Var(flag, name, usage+": "+strings.Join(words, ", "))
	must(cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)))
}

// addNumbers adds a flag of a list of numbers, whose default the help shows as
// it would be typed.
func addNumbers(cmd *cobra.Command, value *[]float64, name string, list []float64, usage string) {
	cmd.Flags().Float64SliceVar(value, name, list, usage)
	text := lists.Map(list, func(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) })
	cmd.Flags().Lookup(name).DefValue = "[" + strings.Join(text, ",") + "]"
}

// wanted says in words what the functions of strconv read.
var wanted = map[string]string{
	"Atoi": "a whole number", "ParseInt": "a whole number", "ParseUint": "a whole number, not negative",
	"ParseFloat": "a number", "ParseBool": "true or false",
}

// plainly turns the error of a flag whose value is no number into one that says
// what is wanted.
func plainly(err error) error {
	num, ok := errors.AsType[*strconv.NumError](err)
	if !ok {
		return err
	}
	want := fmt.Sprintf("%q is too large", num.Num)
	if errors.Is(num, strconv.ErrSyntax) {
		want = "want " + cmp.Or(wanted[num.Func], "a number")
	}
	return errors.New(strings.TrimSuffix(err.Error(), num.Error()) + want)
}

// order is an order of a norm: a number in [1, inf].
type order float64

func (p *order) String() string {
	if math.IsInf(float64(*p), 1) {
		return "inf"
	}
	return strconv.FormatFloat(float64(*p), 'g', -1, 64)
}

func (p *order) Set(s string) error {
	v, err := parseOrder(s)
	*p = order(v)
	return err
}

func (*order) Type() string { return "order" }

func parseOrder(s string) (float64, error) {
	if s == "inf" {
		return math.Inf(1), nil
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || !(v >= 1) || math.IsInf(v, 0) {
		return 0, fmt.Errorf("order %q is neither a number of at least 1 nor inf", s)
	}
	return v, nil
}

// parseOrders reads a list such as 1,2,inf.
func parseOrders(list []string) ([]float64, error) {
	var out []float64
	for _, s := range list {
		v, err := parseOrder(s)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// parsePairs reads a list such as 1:inf,2:2.
func parsePairs(list []string) ([][2]float64, error) {
	var out [][2]float64
	for _, s := range list {
		p, q, ok := strings.Cut(s, ":")
		if !ok {
			return nil, fmt.Errorf("group norm %q: want p:q, such as 1:inf", s)
		}
		pq, err := parseOrders([]string{p, q})
		if err != nil {
			return nil, fmt.Errorf("group norm %q: %w", s, err)
		}
		out = append(out, [2]float64{pq[0], pq[1]})
	}
	return out, nil
}

// parseShapes reads a list such as x=1x784; the batch is part of the shape.
func parseShapes(list []string) (map[string][]int, error) {
	out := map[string][]int{}
	for _, s := range list {
		i := strings.LastIndex(s, "=")
		if i <= 0 {
			return nil, fmt.Errorf("shape %q: want NAME=1x784", s)
		}
		var dims []int
		for d := range strings.SplitSeq(s[i+1:], "x") {
			n, err := strconv.Atoi(d)
			if err != nil || n < 1 {
				return nil, fmt.Errorf("shape %q: %q is no dimension: want NAME=1x784", s, d)
			}
			dims = append(dims, n)
		}
		out[s[:i]] = dims
	}
	return out, nil
}

// must is for mistakes in this package: a flag that does not exist.
func must(err error) {
	if err != nil {
		panic(err)
	}
}
