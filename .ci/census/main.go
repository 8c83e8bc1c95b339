// Census counts what the house wants few of, in production code:
//
//	go run ./.ci/census [-most 6]
//
// It prints, for each of the types below, every place that asks a value which type it
// has (a type switch, or two type assertions and more of one value in a function), the lines
// of Go by package, and the names that each public package exports. What only serves tests
// (dagtest and its like) is left out: oracles spell out each kind on their own. With -most it
// fails where a type has more places.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"log"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const module = "github.com/relupath/relupath"

var asked = []string{
	module + "/analysis/dag.Op",
	module + "/analysis/dag.Map",
	module + "/finetune/internal/program.Op",
}

// listed is what go list says of a package.
type listed struct {
	ImportPath, Dir, Export string
	GoFiles, IgnoredGoFiles []string
}

func main() {
	log.SetFlags(0)
	most := flag.Int("most", math.MaxInt, "places of a type that are too many when there are more")
	flag.Parse()
	pkgs, err := list()
	if err != nil {
		log.Fatal("census: ", err)
	}
	exports := map[string]string{}
	for _, p := range pkgs {
		exports[p.ImportPath] = p.Export
	}
	c := census{fset: token.NewFileSet(), places: map[string][]string{}}
	imp := importer.ForCompiler(c.fset, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	total := 0
	for _, p := range pkgs {
		if !strings.HasPrefix(p.ImportPath, module) || strings.Contains(p.ImportPath, "/.ci/") || strings.HasSuffix(p.ImportPath, "test") {
			continue
		}
		lines, err := c.read(p, imp)
		if err != nil {
			log.Fatal("census: ", err)
		}
		total += lines
	}
	fmt.Printf("%6d lines of production Go\n", total)
	fail := false
	for _, name := range asked {
		fail = fail || len(c.places[name]) > *most
		fmt.Printf("\n%s: %d\n", strings.TrimPrefix(name, module+"/"), len(c.places[name]))
		for _, p := range c.places[name] {
			fmt.Println("\t" + p)
		}
	}
	if fail {
		log.Fatalf("census: more than %d places ask a value for its type: the type should say it in a method", *most)
	}
}

// list returns the module's packages and all that they import, compiled.
func list() ([]listed, error) {
	cmd := exec.Command("go", "list", "-deps", "-export", "-json=ImportPath,Dir,Export,GoFiles,IgnoredGoFiles", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, err
	}
	var pkgs []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); err == io.EOF {
			return pkgs, nil
		} else if err != nil {
			return nil, err
		}
		pkgs = append(pkgs, p)
	}
}

type census struct {
	fset   *token.FileSet
	places map[string][]string
}

// read prints the line of a package, collects its places and returns its lines.
func (c *census) read(p listed, imp types.Importer) (int, error) {
	lines := 0
	var files []*ast.File
	for k, name := range append(p.GoFiles, p.IgnoredGoFiles...) {
		path := filepath.Join(p.Dir, name)
		src, err := os.ReadFile(path)
		if err != nil {
			return 0, err
		}
		if !strings.HasSuffix(name, "_test.go") {
			lines += bytes.Count(src, []byte("\n"))
		}
		if k < len(p.GoFiles) { // the others are of other systems
			f, err := parser.ParseFile(c.fset, path, src, parser.SkipObjectResolution)
			if err != nil {
				return 0, err
			}
			files = append(files, f)
		}
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}}
	conf := types.Config{Importer: imp}
	pkg, err := conf.Check(p.ImportPath, c.fset, files, info)
	if err != nil {
		return 0, err
	}
	for _, f := range files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
				c.function(fn, info)
			}
		}
	}
	names := ""
	if !strings.Contains(p.ImportPath, "internal") {
		n := 0
		for _, name := range pkg.Scope().Names() {
			if token.IsExported(name) {
				n++
			}
		}
		names = fmt.Sprintf("%4d names", n)
	}
	fmt.Printf("%6d %-40s %s\n", lines, strings.TrimPrefix(p.ImportPath, module+"/"), names)
	return lines, nil
}

// function collects what a function asks of its values.
func (c *census) function(fn *ast.FuncDecl, info *types.Info) {
	first := map[string]token.Pos{} // the first assertion of an expression
	said := map[string]bool{}
	add := func(of string, at token.Pos) {
		p := c.fset.Position(at)
		wd, _ := os.Getwd()
		rel, _ := filepath.Rel(wd, p.Filename)
		c.places[of] = append(c.places[of], fmt.Sprintf("%s:%d %s", rel, p.Line, fn.Name.Name))
	}
	ast.Inspect(fn.Body, func(n ast.Node) bool {
		a, ok := n.(*ast.TypeAssertExpr)
		if !ok {
			return true
		}
		of := types.TypeString(info.TypeOf(a.X), nil)
		key := of + " " + types.ExprString(a.X)
		switch at, again := first[key]; {
		case a.Type == nil:
			add(of, a.Pos())
		case again && !said[key]:
			said[key] = true
			add(of, at)
		case !again:
			first[key] = a.Pos()
		}
		return true
	})
}
