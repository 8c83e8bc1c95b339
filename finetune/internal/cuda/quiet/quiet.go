// Package quiet keeps Gorgonia's CUDA build from writing to standard error: it
// logs a line when the program starts, and the same errors that it returns. Go
// initialises packages in the order of their import paths as soon as what they
// import is initialised, so this one, which imports no more than they do, comes
// before gorgonia.org/....
package quiet

import (
	"io"
	"log"
)

func init() { log.SetOutput(io.Discard) }
