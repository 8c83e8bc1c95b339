//go:build cuda

package cuda_test

import (
	"testing"

	"github.com/relupath/relupath/finetune/internal/cuda"
)

func TestFind(t *testing.T) {
	gpu, err := cuda.Find()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", *gpu)
}
