package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/relupath/relupath/analysis"
	"github.com/relupath/relupath/analysis/blas"
	"github.com/relupath/relupath/cmd/relupath/internal/render"
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
}

// Run executes one command line and returns the exit code: 0 done, 1 failed,
// 2 wrong usage, 3 an invalid or unsupported model or data, 130 interrupted.
// A signal to interrupt or to terminate, which batch systems send, cancels the
// work; a second one ends the process.
func Run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	a := &app{streams: newStreams(stdin, stdout, stderr)}
	out := &watched{Writer: stdout}
	a.out = out
	cmd := a.root()
	cmd.SetArgs(args)
	cmd.SetIn(stdin)
	cmd.SetOut(out)
	cmd.SetErr(stderr)
	ran, err := cmd.ExecuteContextC(ctx)
	if err == nil {
		err = out.err
	}
	if err != nil {
		fmt.Fprint(stderr, message(err, ran.CommandPath()))
	}
	return codeOf(err)
}

func (a *app) root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   root,
		Short: "Path norms, rescaling and Path-SGD for ReLU networks in ONNX",
		Long: `relupath reads ReLU networks from ONNX files, measures their norms and other
capacities, balances them by rescaling without changing their function, and
writes ONNX back.`,
		Version: version(),

		SuggestionsMinimumDistance: 2,
		SilenceErrors:              true,
		SilenceUsage:               true,
		Args:                       noSuchCommand,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		CompletionOptions:          cobra.CompletionOptions{DisableDefaultCmd: true},
		PersistentPreRunE:          func(*cobra.Command, []string) error { return a.check() },
	}
	cmd.SetVersionTemplate("{{.Name}} {{.Version}}\n")
	cmd.SetFlagErrorFunc(wrongFlag)
	f := cmd.PersistentFlags()
	addChoice(cmd, &a.format, "format", "how to write the result", render.Formats()...)
	addChoice(cmd, &a.bias, "bias", "whether biases count in norms and objectives", "include", "exclude")
	f.BoolVar(&a.quiet, "quiet", false, "no progress and no warnings")
	f.BoolVar(&a.force, "force", false, "overwrite files that exist")
	f.Uint64Var(&a.seed, "seed", 1, "seed of everything random")
	f.IntVar(&a.threads, "threads", 0, "threads to compute with (default: the number of CPUs)")
	cmd.AddCommand(a.inspect(), a.audit(), a.balance(), a.equivalent(), a.run(), a.eval(), a.finetune(), a.init(), a.experiment(), a.doctor(), a.completion())
	cmd.SetHelpCommand(help())
	for _, c := range cmd.Commands() {
		c.Args = usageArgs(c.Args)
		c.Flags().SortFlags = false
	}
	f.SortFlags = false
	return cmd
}

// wrongFlag tells of a flag that cannot be read; of a command that does not
// exist, rather than of its flags.
func wrongFlag(cmd *cobra.Command, err error) error {
	if args := cmd.Flags().Args(); cmd.HasSubCommands() && len(args) > 0 {
		if none := cmd.ValidateArgs(args); none != nil {
			return none
		}
	}
	return &usageError{plainly(err)}
}

// check completes the common flags.
func (a *app) check() error {
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
			var known *usageError
			if errors.As(err, &known) {
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
	hint := ""
	if s := cmd.SuggestionsFor(args[0]); len(s) > 0 {
		hint = fmt.Sprintf("; did you mean %q?", s[0])
	}
	return usagef("there is no command %q%s", args[0], hint)
}

// version returns the module's version as the toolchain recorded it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}
