// Relupath computes norms of ReLU networks in ONNX files, balances them by
// rescaling and writes ONNX back.
package main

import (
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"

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
// first collection on a heap of which less than small lives may grow to three times
// that, where the usual pace costs an audit of convolutions a tenth, and a larger one to
// twice as much. GOGC, where set, has its way.
func collectLate() {
	if os.Getenv("GOGC") != "" {
		return
	}
	const small = 48 << 20
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	percent := 800
	debug.SetGCPercent(percent)
	var pace func(*[16]byte)
	pace = func(cycle *[16]byte) { // after each collection
		want := 100
		if metrics.Read(live); live[0].Value.Uint64() < small {
			want = 200
		}
		if want != percent {
			percent = want
			debug.SetGCPercent(percent)
		}
		runtime.SetFinalizer(cycle, pace)
	}
	runtime.SetFinalizer(new([16]byte), pace)
}
