//go:build cuda

package cuda

import (
	"embed"
	"path"
	"regexp"
	"strings"

	"gorgonia.org/gorgonia"

	_ "github.com/relupath/relupath/finetune/internal/cuda/quiet" // before Gorgonia
)

// ptx holds the kernels, compiled by build.sh: Gorgonia's own and those of
// folder kernels.
//
//go:embed ptx/*.ptx
var ptx embed.FS

var entry = regexp.MustCompile(`(?m)\.entry\s+(\w+)`)

// init gives Gorgonia the kernels; each of its machines loads them.
func init() {
	files, err := ptx.ReadDir("ptx")
	if err != nil {
		panic(err)
	}
	for _, f := range files {
		text, err := ptx.ReadFile(path.Join("ptx", f.Name()))
		if err != nil {
			panic(err)
		}
		var names []string
		for _, m := range entry.FindAllSubmatch(text, -1) {
			names = append(names, string(m[1]))
		}
		gorgonia.AddToStdLib(strings.TrimSuffix(f.Name(), ".ptx"), string(text), names)
	}
}
