package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// finding is what doctor says of one thing.
type finding struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Need string `json:"need"` // what it is needed for
	Says string `json:"says"`
	Fix  string `json:"fix,omitempty"`
	must bool
}

func runDoctor(ctx context.Context, c *cli, args []string) error {
	fs := c.flags("doctor", "", "Says what is missing on this machine, what for, and how to get it.")
	if err := parseNone(fs, args); err != nil {
		return err
	}
	all := []finding{
		tool(ctx, "go", "building", true, "install Go 1.26 or newer: https://go.dev/dl", "version"),
		tool(ctx, "make", "building", true, "install make with your system's package manager", "--version"),
		tool(ctx, "git", "working on Millrace", false, "install git with your system's package manager", "--version"),
		tool(ctx, "node", "synthesizing the template and its tests (CDK)", false, "install Node 20 or newer: https://nodejs.org", "--version"),
		tool(ctx, "aws", "driving the cloud by hand", false, "install the AWS CLI, version 1 or 2", "--version"),
		built(), stateful(), loopback(),
	}
	missing := 0
	for _, f := range all {
		if !f.OK && f.must {
			missing++
		}
	}
	err := c.print(all, func(w io.Writer) {
		for _, f := range all {
			mark := "ok     "
			if !f.OK {
				mark = "missing"
			}
			fmt.Fprintf(w, "%s  %-14s %s\n", mark, f.Name, f.Says)
			if !f.OK {
				fmt.Fprintf(w, "         %-14s needed for %s: %s\n", "", f.Need, f.Fix)
			}
		}
		if r, ok := findRunning(ctx); ok {
			fmt.Fprintf(w, "\na local cloud runs in this folder: %s (process %d)\n", r.Endpoint, r.PID)
		}
	})
	if err == nil && missing > 0 {
		return &findingError{"something that must be there is missing"}
	}
	return err
}

func tool(ctx context.Context, name, need string, must bool, fix string, versionArg string) finding {
	f := finding{Name: name, Need: need, Fix: fix, must: must}
	path, err := exec.LookPath(name)
	if err != nil {
		f.Says = "not on the PATH"
		return f
	}
	out, err := exec.CommandContext(ctx, path, versionArg).CombinedOutput()
	f.Says, _, _ = strings.Cut(strings.TrimSpace(string(out)), "\n")
	if f.OK = err == nil; f.OK {
		f.Fix = ""
	}
	return f
}

// built looks for what `make build` puts beside this program.
func built() finding {
	f := finding{Name: "build", Need: "the local cloud", Fix: "run `make build`", must: true}
	bin, err := binFolder()
	if err != nil {
		f.Says = err.Error()
		return f
	}
	for _, name := range []string{"worker", filepath.Join("assembly", "Millrace.template.json"), filepath.Join("functions", "newdata", "bootstrap")} {
		if _, err := os.Stat(filepath.Join(bin, name)); err != nil {
			f.Says = filepath.Join(bin, name) + " is not there"
			return f
		}
	}
	f.OK, f.Says, f.Fix = true, "worker, functions and template are there", ""
	return f
}

// stateful tries whether the state folder can be written.
func stateful() finding {
	f := finding{Name: "state folder", Need: "the local cloud", Fix: "use another folder: millrace up --dir FOLDER", must: true}
	err := os.MkdirAll(stateFolder, 0o700)
	if err == nil {
		var probe *os.File
		if probe, err = os.CreateTemp(stateFolder, "doctor-"); err == nil {
			err = errors.Join(probe.Close(), os.Remove(probe.Name()))
		}
	}
	if err != nil {
		f.Says = err.Error()
		return f
	}
	f.OK, f.Says, f.Fix = true, stateFolder+" can be written", ""
	return f
}

func loopback() finding {
	f := finding{Name: "ports", Need: "the local cloud", Fix: "stop what listens there, or use millrace up --port", must: true}
	ln, err := listen(0)
	if err != nil {
		f.Says = err.Error()
		return f
	}
	f.OK, f.Fix = true, ""
	f.Says = fmt.Sprintf("%s is free", ln.Addr())
	if a, ok := ln.Addr().(*net.TCPAddr); ok && a.Port != defaultPort {
		f.Says = fmt.Sprintf("%d is taken, %d is free and will be used", defaultPort, a.Port)
	}
	if err := ln.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		f.Says += ": " + err.Error()
	}
	return f
}
