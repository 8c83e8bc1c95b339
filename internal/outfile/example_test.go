package outfile_test

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/relupath/relupath/internal/outfile"
)

// A file is replaced only when all of the new one is written.
func ExampleWrite() {
	dir, err := os.MkdirTemp("", "outfile")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "table.csv")
	for _, text := range []string{"epoch,loss\n1,0.5\n", "epoch,loss\n"} {
		err := outfile.Write(path, func(w io.Writer) error {
			if _, err := io.WriteString(w, text); err != nil {
				return err
			}
			if text == "epoch,loss\n" {
				return fmt.Errorf("the run was stopped")
			}
			return nil
		})
		fmt.Println(err)
	}
	kept, err := os.ReadFile(path)
	fmt.Printf("%q %v\n", kept, err)
	// Output:
	// <nil>
	// the run was stopped
	// "epoch,loss\n1,0.5\n" <nil>
}
