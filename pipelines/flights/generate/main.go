// Command generate rebuilds the six monthly files of pipelines/flights/data from
// flights-3m.parquet of the npm package vega-datasets 3.2.1:
//
//	npm pack vega-datasets@3.2.1 && tar xzf vega-datasets-3.2.1.tgz
//	go run ./pipelines/flights/generate package/data/flights-3m.parquet
//
// It verifies the SHA-256 of what it reads and of what it writes.
package main

import (
	"flag"
	"log/slog"
	"os"
	"path/filepath"
)

func main() {
	out := flag.String("out", filepath.Join("pipelines", "flights", "data"), "folder of the files, with SHA256SUMS")
	record := flag.Bool("record", false, "write SHA256SUMS instead of verifying against it")
	flag.Parse()
	if flag.NArg() != 1 {
		slog.Error("usage: generate [-out folder] flights-3m.parquet")
		os.Exit(2)
	}
	if err := generate(flag.Arg(0), *out, *record); err != nil {
		slog.Error("generate flights", "error", err)
		os.Exit(1)
	}
}
