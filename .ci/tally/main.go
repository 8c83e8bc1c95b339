// Tally reads the output of go test -json, prints one line a package and the
// whole output of what failed, and ends with the counts of tests:
//
//	go test -json ./... | go run ./.ci/tally
//
// It exits with 1 when a test or a package failed, or when nothing ran.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

// event is a line of go test -json; see go doc test2json, and for the build-*
// actions go help buildjson.
type event struct {
	Action, Package, ImportPath, Test, Output string
	Elapsed                                   float64
}

func main() {
	t := tally{output: map[string]*strings.Builder{}, w: os.Stdout}
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadString('\n')
		if line != "" {
			t.line(line)
		}
		if err != nil {
			break
		}
	}
	if t.skipped > 0 {
		fmt.Printf("%d skipped\n", t.skipped)
	}
	fmt.Printf("%d passed, %d failed\n", t.passed, t.failed)
	if t.failed > 0 || t.broken > 0 || t.passed == 0 {
		os.Exit(1)
	}
}

type tally struct {
	passed, failed, skipped int
	broken                  int // packages that failed, by a test or without one
	output                  map[string]*strings.Builder
	w                       io.Writer
}

func (t *tally) line(line string) {
	var e event
	if json.Unmarshal([]byte(line), &e) != nil {
		fmt.Fprint(t.w, line) // go itself, such as a downloading line
		return
	}
	key := e.Package + "\x00" + e.Test
	switch {
	case e.Action == "build-output":
		fmt.Fprint(t.w, e.Output)
	case e.Action == "output":
		if t.output[key] == nil {
			t.output[key] = &strings.Builder{}
		}
		t.output[key].WriteString(e.Output)
	case e.Test != "":
		t.test(e, key)
	case e.Action == "pass":
		fmt.Fprintf(t.w, "ok    %-60s %7.1f s\n", e.Package, e.Elapsed)
	case e.Action == "fail":
		t.broken++
		t.print(key)
		fmt.Fprintf(t.w, "FAIL  %-60s %7.1f s\n", e.Package, e.Elapsed)
	}
}

func (t *tally) test(e event, key string) {
	switch e.Action {
	case "pass":
		t.passed++
	case "skip":
		t.skipped++
		t.print(key)
	case "fail":
		t.failed++
		t.print(key)
	default:
		return
	}
	delete(t.output, key)
}

func (t *tally) print(key string) {
	if b := t.output[key]; b != nil {
		fmt.Fprint(t.w, b.String())
	}
}
