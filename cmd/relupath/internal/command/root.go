package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/cmd/relupath/internal/interrupt"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
	"github.com/relupath/relupath/internal/lists"
	"github.com/relupath/relupath/internal/outfile"
)

// root is the program's name.
const root = "relupath"

// app is what the commands share: the streams and the common flags.
type app struct {
	streams
	format  string
	bias    string
	quiet   bool
	force   bool
	seed    uint64
	threads int
	// digits are the significant digits of numbers in tables, 0 for the format's own;
	// caption and label are of LaTeX tables; provenanced says that reports tell where they are from.
	digits         int
	caption, label string
	provenanced    bool
	// args is the command line.
	args []string

	// interrupted is the context's error after a signal; nil in tests of parts.
	interrupted func() error
	// ended is closed by a signal.
	ended <-chan struct{}
	// several says that models are read at the same time: the status is of all.
	several bool
	// keeping says that a signal does not end what the command does.
	keeping atomic.Bool
	waits   waits

	mu sync.Mutex
	// inputs are the names of the inputs of all models that were read.
	inputs []string
	// hasInput has the same names.
	hasInput map[string]bool
	// sources are the files that models are read from, examples those of data and
	// inputs, drafts those of outputs that are being written, swept the folders in
	// which one was made.
	sources  []string
	examples []string
	drafts   []*outfile.Draft
	swept    map[string]bool
	// sums has the SHA-256 of what was read, by its path.
	sums map[string]fileSum
}

// Run executes one command line and returns the exit code: 0 done, 1 failed,
// 2 wrong usage, 3 an invalid or unsupported model or data, 70 a mistake of the
// program, 130 interrupted. A signal to interrupt or to terminate, which batch
// systems send, cancels the work; a second one ends the process.
func Run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := interrupt.Context()
	defer stop()
	s, out, errs := newStreams(stdin, stdout, stderr)
	a := &app{streams: s, args: args, interrupted: ctx.Err, ended: ctx.Done()}
	out.waits, errs.waits = &a.waits, &a.waits
	if ctx.Err() != nil {
		fmt.Fprint(stderr, message(ctx.Err(), ""))
		return codeInterrupted
	}
	done := make(chan int, 1)
	go func() { done <- a.execute(ctx, args, out) }()
	select {
	case code := <-done:
		return code
	case <-ctx.Done():
	}
	select {
	case code := <-done:
		return code
	case <-time.After(patience):
	}
	for a.keeping.Load() && !a.waits.long() {
		select {
		case code := <-done:
			return code
		case <-time.After(patience / 10):
		}
	}
	// What goes on does not look at the context, as the opening of a pipe.
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, d := range a.drafts {
		d.Remove()
	}
	if a.status != nil {
		a.status.leave()
	}
	out.close()
	errs.close()
	told := make(chan struct{})
	go func() {
		fmt.Fprint(stderr, message(ctx.Err(), ""))
		close(told)
	}()
	select {
	case <-told:
	case <-time.After(patience):
	}
	return codeInterrupted
}

// patience is how long a command may take to end after a signal, unless it keeps
// what is done, and how long it then waits for whoever reads it.
const patience = 600 * time.Millisecond

// keep says that what the command does now is to be finished after a signal: the
// trained model is written, the measured models are printed.
func (a *app) keep() { a.keeping.Store(true) }

// keepRest is keep for what begins after a signal.
func (a *app) keepRest() {
	if a.interrupted != nil && a.interrupted() != nil {
		a.keep()
	}
}

// execute runs a command line and tells what went wrong.
func (a *app) execute(ctx context.Context, args []string, out *gate) int {
	cmd := a.root()
	cmd.SetArgs(args)
	cmd.SetIn(a.in)
	cmd.SetOut(out)
	cmd.SetErr(a.err)
	ran := cmd
	err := recovered(func() (err error) {
		ran, err = cmd.ExecuteContextC(ctx)
		return err
	})
	if a.status != nil {
		a.status.end()
	}
	if err == nil {
		err = out.err
	}
	if err != nil {
		fmt.Fprint(a.err, message(err, ran.CommandPath()))
	}
	return codeOf(err)
}

// Tree returns the commands with their flags, for manuals: it is not there to be run.
func Tree() *cobra.Command { return (&app{}).root() }

func (a *app) root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   root,
		Short: "Path norms, rescaling and Path-SGD for ReLU networks in ONNX",
		Long: `relupath reads ReLU networks from ONNX files, measures their norms and other
capacities, balances them by rescaling without changing their function, and
writes ONNX back.`,
		Version: version(),

		SilenceErrors:     true,
		SilenceUsage:      true,
		Args:              noSuchCommand,
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return a.check(cmd) },
	}
	cmd.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	cmd.SetFlagErrorFunc(wrongFlag)
	f := cmd.PersistentFlags()
	addChoice(cmd, &a.format, "format", "how to write the result", render.Formats()...)
	addChoice(cmd, &a.bias, "bias", "whether biases count in norms and objectives", "include", "exclude")
	f.BoolVar(&a.quiet, "quiet", false, "no progress and no warnings")
	f.BoolVar(&a.force, "force", false, "overwrite files that exist")
	f.Uint64Var(&a.seed, "seed", 1, "seed of everything random")
	f.IntVar(&a.digits, "digits", 0, "significant digits of numbers in tables (default: 5, and 3 in LaTeX)")
	f.StringVar(&a.caption, "caption", "", "caption of the LaTeX table")
	f.StringVar(&a.label, "label", "", "label of the LaTeX table, such as tab:norms")
	f.BoolVar(&a.provenanced, "provenance", false, "end the result with version, command, date and the SHA-256 of the files read")
	f.IntVar(&a.threads, "threads", 0, "threads to compute with (default: the number of CPUs)")
	cmd.AddCommand(a.inspect(), a.audit(), a.balance(), a.prune(), a.equivalent(), a.diff(), a.run(), a.eval(), a.finetune(), a.init(), a.experiment(), a.doctor(), a.completion(), a.version())
	cmd.SetHelpCommand(help())
	for _, c := range cmd.Commands() {
		c.Args = usageArgs(c.Args)
		c.Flags().SortFlags = false
		nameValues(c.Flags())
	}
	f.SortFlags = false
	nameValues(f)
	return cmd
}

// maxDigits is the number of digits that a float64 has.
const maxDigits = 17

// wrongFlag tells of a flag that cannot be read; of a command that does not
// exist, rather than of its flags.
func wrongFlag(cmd *cobra.Command, err error) error {
	if args := cmd.Flags().Args(); cmd.HasSubCommands() && len(args) > 0 {
		if none := cmd.ValidateArgs(args); none != nil {
			return none
		}
	}
	return usagef("%w%s", plainly(err), meantFlag(cmd, err))
}

// check completes the common flags.
func (a *app) check(cmd *cobra.Command) error {
	for _, name := range []string{"output", "report"} {
		// To open it would make another place in the file that it may lead to.
		if f := cmd.Flags().Lookup(name); f != nil && f.Value.String() == "/dev/stdout" {
			must(f.Value.Set(stdStream))
		}
	}
	if err := a.followEndings(cmd); err != nil {
		return err
	}
	if a.digits < 0 || a.digits > maxDigits || cmd.Flags().Changed("digits") && a.digits == 0 {
		return usagef("--digits %d: want a number from 1 to %d", a.digits, maxDigits)
	}
	if strings.ContainsAny(a.label, " \\{}%#$&~^\"'") {
		return usagef("--label %q: want letters, digits and signs such as : - _", a.label)
	}
	if a.threads < 0 {
		return usagef("--threads %d: want a positive number", a.threads)
	}
	if a.threads == 0 {
		a.threads = runtime.GOMAXPROCS(0)
	}
	blas.SetThreads(a.threads)
	return nil
}

// biasPolicy returns what --bias says.
func (a *app) biasPolicy() analysis.Bias {
	if a.bias == "exclude" {
		return analysis.ExcludeBias
	}
	return analysis.IncludeBias
}

// usageArgs makes a wrong number of arguments a wrong usage.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			if _, ok := errors.AsType[*usageError](err); ok {
				return err
			}
			return usagef("%s: %w: want %s", cmd.Name(), err, cmd.UseLine())
		}
		return nil
	}
}

// help is the help command; a name that no command has is wrong usage.
func help() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			of, _, err := cmd.Root().Find(args)
			if err == nil && of == cmd.Root() {
				err = noSuchCommand(of, args)
			}
			if err != nil {
				return err
			}
			return of.Help()
		},
	}
}

func noSuchCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	known := lists.Map(cmd.Commands(), (*cobra.Command).Name)
	return usagef("there is no command %q%s", args[0], meant(args[0], known))
}

// version is the command that prints what --version prints.
func (a *app) version() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Show the version",
		Long:    "version prints the program's version, as --version does; doctor shows more.",
		Example: "  relupath version",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(a.out, root, version())
			return err
		},
	}
}

// version returns the module's version as the toolchain recorded it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
