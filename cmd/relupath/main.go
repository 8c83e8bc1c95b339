// Relupath computes norms of ReLU networks in ONNX files, balances them by
// rescaling and writes ONNX back.
package main

import (
	"io"
	"os"

	"github.com/relupath/relupath/cmd/relupath/internal/command"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run executes a command line and returns its exit code.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	return command.Run(args, stdin, stdout, stderr)
}
