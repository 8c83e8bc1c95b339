//go:build cuda

package cuda

import (
	"embed"
	"regexp"

	_ "github.com/relupath/relupath/finetune/internal/cuda/quiet" // before Gorgonia
)

// ptx holds the kernels, compiled by build.sh.
//
//go:embed ptx/*.ptx
var ptx embed.FS

var entry = regexp.MustCompile(`(?m)\.entry\s+(\w+)`)

// kernels returns the module of a type of numbers, and the names of its kernels.
func kernels(suffix string) (text string, names []string) {
	data, err := ptx.ReadFile("ptx/relupath" + suffix + ".ptx")
	if err != nil {
		panic(err)
	}
	for _, m := range entry.FindAllSubmatch(data, -1) {
		names = append(names, string(m[1]))
	}
	return string(data), names
}
