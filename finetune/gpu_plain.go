//go:build !cuda

package finetune

import (
	"github.com/relupath/relupath/finetune/internal/engine"
	"github.com/relupath/relupath/finetune/internal/optim"
	"github.com/relupath/relupath/finetune/internal/program"
)

// onGPU is not reached: FindGPU has failed before.
func onGPU[T program.Float](*program.Program[T], *optim.Optimizer[T], engine.Options) (stepper[T], error) {
	_, err := FindGPU()
	return nil, err
}
