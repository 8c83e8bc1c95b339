// Relupath computes norms of ReLU networks in ONNX files, balances them by
// rescaling and writes ONNX back.
package main

import (
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/relupath/relupath/cmd/relupath/internal/command"
)

func main() {
	collectLate()
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes a command line and returns its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return command.Run(args, stdin, stdout, stderr)
}

// collectLate lets the heap grow to some 20 MB before the first garbage
// collection: most commands end before, and collecting the four megabytes that
// a process starts with costs a tenth of an audit of 76 MB of weights. From the
// first collection on the usual pace holds. GOGC, where set, has its way.
func collectLate() {
	if os.Getenv("GOGC") != "" {
		return
	}
	debug.SetGCPercent(800)
	runtime.SetFinalizer(new([16]byte), func(*[16]byte) { debug.SetGCPercent(100) })
}
