package command

import (
	"github.com/spf13/pflag"

	"github.com/relupath/relupath/cmd/relupath/internal/proof"
)

// sampleFlags is --samples, the number of random inputs that outputs are compared on.
type sampleFlags struct {
	n    int
	flag *pflag.Flag
}

func (s *sampleFlags) add(f *pflag.FlagSet) {
	f.IntVar(&s.n, "samples", proof.DefaultSamples,
		"random inputs to compare outputs on; fewer where they are not asked for and would take long")
	s.flag = f.Lookup("samples")
}

func (s *sampleFlags) check() error {
	if s.n < 1 {
		return usagef("--samples %d: want at least 1", s.n)
	}
	return nil
}

// count is the number for proof.Options: 0, as many as a budget allows, where none was asked for.
func (s *sampleFlags) count() int {
	if !s.flag.Changed {
		return 0
	}
	return s.n
}
