// Manual writes a man page for each command into a folder:
//
//	go run ./cmd/relupath/internal/manual build/man
//
// The pages are made when a release is, apart from the program, which does not carry what
// makes them.
package main

import (
	"log"
	"os"

	"github.com/spf13/cobra/doc"

	"github.com/relupath/relupath/cmd/relupath/internal/command"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: manual FOLDER")
	}
	if err := os.MkdirAll(os.Args[1], 0o777); err != nil {
		log.Fatal("manual: ", err)
	}
	root := command.Tree()
	header := &doc.GenManHeader{Title: "RELUPATH", Section: "1", Source: "relupath " + root.Version, Manual: "relupath"}
	if err := doc.GenManTree(root, header, os.Args[1]); err != nil {
		log.Fatal("manual: ", err)
	}
}
