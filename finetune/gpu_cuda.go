//go:build cuda

package finetune

import (
	"github.com/relupath/relupath/finetune/internal/engine"
	"github.com/relupath/relupath/finetune/internal/gorgonia"
	"github.com/relupath/relupath/finetune/internal/optim"
	"github.com/relupath/relupath/finetune/internal/program"
)

// onGPU makes what computes on the GPU.
func onGPU[T program.Float](prog *program.Program[T], rule *optim.Optimizer[T], opt engine.Options) (stepper[T], error) {
	return gorgonia.New(prog, rule, opt)
}
