package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
)

// version is Millrace's; see CHANGELOG.md.
const version = "0.1.0-dev"

func runVersion(_ context.Context, c *cli, args []string) error {
	fs := c.flags("version", "", "Prints the version.")
	if err := parseNone(fs, args); err != nil {
		return err
	}
	v := map[string]string{"version": version, "go": runtime.Version(), "platform": runtime.GOOS + "/" + runtime.GOARCH}
	return c.print(v, func(w io.Writer) { fmt.Fprintf(w, "millrace %s (%s, %s)\n", v["version"], v["go"], v["platform"]) })
}
