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
// twice as much. Beyond two gigabytes the process gives back to the system what is more than half as much again as
// lives: values of half a gigabyte, made and dropped one after another, took half as much memory again. GOGC and GOMEMLIMIT, where set, have their way.
func collectLate() {
	if os.Getenv("GOGC") != "" {
		return
	}
	const small, most = 48 << 20, 2 << 30
	limit := func(n uint64) {
		if os.Getenv("GOMEMLIMIT") == "" {
			debug.SetMemoryLimit(int64(max(most, n)))
		}
	}
	limit(most)
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	percent := 800
	debug.SetGCPercent(percent)
	var pace func(*[16]byte)
	pace = func(cycle *[16]byte) { // after each collection
		want := 100
		metrics.Read(live)
		n := live[0].Value.Uint64()
		if n < small {
			want = 200
		}
		limit(n + n/2)
		if want != percent {
			percent = want
			debug.SetGCPercent(percent)
		}
		runtime.SetFinalizer(cycle, pace)
	}
	runtime.SetFinalizer(new([16]byte), pace)
}
