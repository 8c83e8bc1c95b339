package lower

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/relupath/relupath/internal/words"
	"github.com/relupath/relupath/onnxio/internal/wire"
)

// schemas has the forms of the operators: see testmodels/scripts/schemas.py,
// which writes it.
//
//go:embed schemas.txt
var schemas string

// operator is an operator that is known.
type operator struct {
	lower lowerer
	// lines are its lines of schemas, which parse turns into forms.
	lines  []string
	parse  sync.Once
	parsed []form
}

// form is what nodes of an operator look like from version since of its domain on.
type form struct {
	since           int64
	deprecated      bool
	inputs, outputs arity
	attributes      map[string]formAttribute
	// open says that other attributes are allowed.
	open bool
}

type formAttribute struct {
	typ      string
	required bool
}

// arity is how many inputs or outputs an operator has.
type arity struct {
	least int
	// letters has one for each: 1 must be there, ? may be left out, x too but is
	// not the last, * is any number.
	letters string
}

// forms are what the operator's nodes look like, by rising version.
func (o *operator) forms() []form {
	o.parse.Do(func() {
		for _, line := range o.lines {
			o.parsed = append(o.parsed, parseForm(strings.Fields(line)))
		}
	})
	return o.parsed
}

// parseForm reads the words of a line behind domain and operator.
func parseForm(w []string) form {
	since, _ := strconv.ParseInt(w[0], 10, 64)
	f := form{since: since, deprecated: w[1] == "deprecated", attributes: map[string]formAttribute{}}
	if f.deprecated {
		return f
	}
	for k, to := range []*arity{&f.inputs, &f.outputs} {
		least, _ := strconv.ParseInt(w[1+k][:1], 16, 64)
		*to = arity{int(least), w[1+k][1:]}
	}
	for _, a := range w[3:] {
		if a == "*" {
			f.open = true
			continue
		}
		name, typ, _ := strings.Cut(a, "=")
		typ, required := strings.CutSuffix(typ, "!")
		f.attributes[name] = formAttribute{typ, required}
	}
	return f
}

// checkForms refuses nodes of known operators that their operator set does not
// allow, those that no output needs, those of subgraphs and of local functions included.
func checkForms(m *wire.Model, g *wire.Graph) error {
	functions := localFunctions(m)
	all := versions(m.OpsetImports)
	for d, v := range all {
		if operators()[d] != nil && v < 1 {
			return fmt.Errorf("it imports version %d of the operators of domain %q: versions begin with 1", v, d)
		}
	}
	if len(m.OpsetImports) == 0 && m.IRVersion < 3 {
		all[""] = 1
	}
	for k := range g.Nodes {
		if err := checkForm(m, functions, &g.Nodes[k], k, all); err != nil {
			return err
		}
	}
	for i := range m.Functions {
		f := &m.Functions[i]
		own := versions(f.OpsetImports)
		for k := range f.Nodes {
			if err := checkForm(m, functions, &f.Nodes[k], k, own); err != nil {
				return fmt.Errorf("local function %q: %w", f.Name, err)
			}
		}
	}
	return nil
}

// versions returns the version of each domain.
func versions(imports []wire.Opset) map[string]int64 {
	out := map[string]int64{}
	for _, s := range imports {
		out[wire.Domain(s.Domain)] = s.Version
	}
	return out
}

// checkForm checks a node and those of its subgraphs, whose nesting the index bounds.
func checkForm(m *wire.Model, functions map[function]*wire.Function, n *wire.Node, k int, versions map[string]int64) error {
	if err := ownForm(m, functions, n, versions); err != nil {
		return fmt.Errorf("node %q (%s): %w", nodeLabel(n, k), opLabel(n), err)
	}
	for i := range n.Attributes {
		a := &n.Attributes[i]
		for j := range a.Nodes {
			if err := checkForm(m, functions, &a.Nodes[j], j, versions); err != nil {
				return fmt.Errorf("node %q (%s): subgraph %q: %w", nodeLabel(n, k), opLabel(n), a.Name, err)
			}
		}
	}
	return nil
}

func ownForm(m *wire.Model, functions map[function]*wire.Function, n *wire.Node, versions map[string]int64) error {
	d := wire.Domain(n.Domain)
	o := operators()[d][n.OpType]
	if o == nil || len(o.forms()) == 0 || functions[function{d, n.OpType, n.Overload}] != nil {
		return nil
	}
	v, ok := versions[d]
	if !ok {
		return fmt.Errorf("no version of the operators of domain %q is imported", d)
	}
	f := o.form(v)
	switch {
	case f == nil:
		return fmt.Errorf("opset %d has no such operator: it came with opset %d", v, o.forms()[0].since)
	case f.deprecated:
		return fmt.Errorf("the operator ended with opset %d, this is opset %d", f.since-1, v)
	}
	if err := f.inputs.check("input", n.Inputs); err != nil {
		return err
	}
	if err := f.outputs.check("output", n.Outputs); err != nil {
		return err
	}
	return f.checkAttributes(n, m.IRVersion > 1)
}

// form returns the operator's form in a version of its domain, nil for none.
func (o *operator) form(version int64) *form {
	for i, f := range slices.Backward(o.forms()) {
		if f.since <= version {
			return &o.parsed[i]
		}
	}
	return nil
}

func (a arity) check(what string, names []string) error {
	most, endless := len(a.letters), strings.HasSuffix(a.letters, "*")
	if n := len(names); n < a.least || n > most && !endless {
		takes := fmt.Sprintf("%d to %d", a.least, most)
		switch {
		case endless:
			takes = fmt.Sprintf("%d or more", a.least)
		case a.least == most:
			takes = strconv.Itoa(most)
		}
		return fmt.Errorf("it has %s, the operator has %s", words.Count(n, what), takes)
	}
	if n := len(names); n > 0 && n <= most && a.letters[n-1] == 'x' {
		return fmt.Errorf("it has %s, and the operator more or fewer", words.Count(n, what))
	}
	for i, name := range names[:min(len(names), most)] {
		if name == "" && a.letters[i] == '1' {
			return fmt.Errorf("%s %d is missing", what, i)
		}
	}
	return nil
}

// checkAttributes wants declared types since IR version 2.
func (f *form) checkAttributes(n *wire.Node, declared bool) error {
	given := map[string]bool{}
	for i := range n.Attributes {
		a := &n.Attributes[i]
		want, ok := f.attributes[a.Name]
		switch {
		case given[a.Name]:
			return fmt.Errorf("attribute %q is given twice", a.Name)
		case !ok && !f.open && !strings.HasPrefix(a.Name, "__"):
			return fmt.Errorf("the operator has no attribute %q", a.Name)
		case ok && declared && a.Undeclared:
			return fmt.Errorf("attribute %q has no type: want %s", a.Name, want.typ)
		case ok && a.Type.String() != want.typ:
			return fmt.Errorf("attribute %q has the type %v: want %s", a.Name, a.Type, want.typ)
		}
		given[a.Name] = true
	}
	for name, want := range f.attributes {
		if want.required && !given[name] {
			return fmt.Errorf("attribute %q is missing", name)
		}
	}
	return nil
}
