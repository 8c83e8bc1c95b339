package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"

	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/finetune/dataset"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/outfile"
)

// The exit codes of the command line's contract.
const (
	codeFailed      = 1
	codeUsage       = 2
	codeInvalid     = 3
	codeInternal    = 70 // EX_SOFTWARE of sysexits.h
	codeInterrupted = 130
)

// usageError is a command line that makes no sense; exit code 2.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// dataError is a file of data, or a model's numbers, that cannot be used; exit
// code 3.
type dataError struct{ err error }

func (e *dataError) Error() string { return e.err.Error() }
func (e *dataError) Unwrap() error { return e.err }

func invalidf(format string, args ...any) error {
	return &dataError{fmt.Errorf(format, args...)}
}

// exit carries an exit code of a command's own. A nil err says that the report
// has told everything.
type exit struct {
	code int
	err  error
}

func (e *exit) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exit) Unwrap() error { return e.err }

// internalError is a panic: a mistake of the program; exit code 70.
type internalError struct {
	value any
	stack []byte
}

func (e *internalError) Error() string {
	what, _, _ := strings.Cut(fmt.Sprint(e.value), "\n")
	return fmt.Sprintf("a mistake in relupath, not in its input: %s: please report it with the model and the command", what)
}

// details are for the report of the mistake.
func (e *internalError) details() string { return fmt.Sprintf("%v\n\n%s", e.value, e.stack) }

// recovered calls f and turns a panic into its error.
func recovered(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &internalError{r, debug.Stack()}
		}
	}()
	return f()
}

// codeOf maps an error to the exit code.
func codeOf(err error) int {
	own, exits := errors.AsType[*exit](err)
	switch {
	case err == nil:
		return 0
	case has[*internalError](err):
		return codeInternal
	case errors.Is(err, context.Canceled):
		return codeInterrupted
	case exits:
		return own.code
	case has[*usageError](err), has[*dataset.SpecError](err):
		return codeUsage
	case isInvalid(err):
		return codeInvalid
	}
	return codeFailed
}

// isInvalid reports whether a model or data, not the machine, is to blame.
func isInvalid(err error) bool {
	return has[*dataset.DataError](err) || has[*dataError](err) || has[*unsupportedError](err) || has[*invalidError](err)
}

// has reports whether an error is, or wraps, one of a type.
func has[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// message returns what standard error shows; empty for nothing.
func message(err error, command string) string {
	if own, ok := errors.AsType[*exit](err); ok && own.err == nil {
		return ""
	}
	code := codeOf(err)
	if code == codeInterrupted {
		return "relupath: interrupted\n"
	}
	s := "relupath: " + sentences(err) + "\n"
	if internal, ok := errors.AsType[*internalError](err); ok {
		s += "\n" + internal.details()
	}
	if code == codeUsage {
		s += fmt.Sprintf("see '%s --help'\n", command)
	}
	return s
}

// sentences returns the text of an error, made visible: one line, but for an
// error of several and one that lists obstacles.
func sentences(err error) string {
	if list, ok := errors.AsType[*unsupportedError](err); ok {
		before, after, _ := strings.Cut(err.Error(), list.Error())
		shown := &unsupportedError{Path: render.Visible(list.Path)}
		for _, o := range list.Obstacles {
			// The node stands in Go's quotes.
			shown.Obstacles = append(shown.Obstacles, fileObstacle{
				Node: o.Node, Op: render.Visible(o.Op), Reason: render.Visible(o.Reason), Remedy: render.Visible(o.Remedy),
			})
		}
		return render.Visible(before) + shown.Error() + render.Visible(after)
	}
	for e := err; e != nil && e.Error() == err.Error(); e = errors.Unwrap(e) {
		if joined, ok := e.(interface{ Unwrap() []error }); ok {
			lines := lists.Map(joined.Unwrap(), sentences)
			if errors.Join(joined.Unwrap()...).Error() == e.Error() {
				return strings.Join(lines, "\n")
			}
		}
	}
	return render.Visible(plain(undrafted(err)))
}

// undrafted is the text of an error, in which a file of a draft has the name of the output that it
// was to become.
func undrafted(err error) string {
	text := err.Error()
	var cause error
	path := ""
	var file *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &file):
		cause, path = file, file.Path
	case errors.As(err, &link):
		cause, path = link, link.Old
	}
	draft := filepath.Dir(path)
	if path == "" || !outfile.IsDraft(filepath.Base(draft)) {
		return text
	}
	before, _, _ := strings.Cut(text, cause.Error())
	if strings.Contains(before, draft) { // it tells of the file too
		before = ""
	}
	return before + unwritten(filepath.Join(filepath.Dir(draft), filepath.Base(path)), cause).Error()
}

// packages matches the names of packages at the beginning of their errors that are names of
// commands as well, though any command may get the error.
var packages = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`(^|: )(?:(?:finetune|experiment|prune): )+`) })

// plain is the text of an error without such names.
func plain(text string) string { return packages().ReplaceAllString(text, "$1") }
