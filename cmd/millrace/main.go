// Command millrace is the tool for people: it checks definitions, runs the local
// cloud, and shows and steers runs and models, on a laptop and on an account
// alike. Data goes to stdout, talk to stderr.
//
// Exit codes: 0 done; 1 it failed; 2 it was called wrongly; 3 what was asked
// about is not as it should be (an invalid definition, a failed run, something
// missing); 130 it was interrupted.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

// command is one subcommand; run gets the arguments after its name.
type command struct {
	name, args, what string
	run              func(ctx context.Context, c *cli, args []string) error
}

func commands() []command {
	return []command{
		{"up", "", "start the local cloud and deploy Millrace into it", runUp},
		{"down", "", "stop the local cloud", runDown},
		{"demo", "", "the whole loop on real data: upload, train, approve, score", runDemo},
		{"validate", "[DIR|FILE]…", "check pipeline definitions", runValidate},
		{"upload", "PIPELINE FILE…", "upload rows to learn from, or to score", runUpload},
		{"runs", "[PIPELINE]", "list runs", runRuns},
		{"watch", "[RUN]", "show a run as it goes on", runWatch},
		{"models", "[PIPELINE]", "list versions of models", runModels},
		{"approve", "PIPELINE/VERSION", "approve a version", runApprove},
		{"reject", "PIPELINE/VERSION", "reject a version", runReject},
		{"logs", "RUN | FUNCTION", "print the log of a run's jobs, or of a function", runLogs},
		{"clock", "[advance DURATION]", "show the time of the local cloud, and move it", runClock},
		{"report", "RUN", "fetch the report of a run", runReport},
		{"doctor", "", "say what is missing here, and how to get it", runDoctor},
		{"version", "", "print the version", runVersion},
	}
}

// cli is what a command talks to.
type cli struct {
	out, err io.Writer
	json     bool
	endpoint string
}

// interrupted is the exit code after Ctrl-C, as shells have it.
const interrupted = 130

// usageError is a wrong call: exit code 2.
type usageError struct{ msg string }

func (e *usageError) Error() string { return e.msg }

// findingError is an answer that is bad news: exit code 3. The answer is printed already.
type findingError struct{ msg string }

func (e *findingError) Error() string { return e.msg }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, out, errw io.Writer) int {
	c := &cli{out: out, err: errw}
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		usage(out)
		return 0
	}
	for _, cmd := range commands() {
		if cmd.name != args[0] {
			continue
		}
		err := cmd.run(ctx, c, args[1:])
		if ctx.Err() != nil && errors.Is(err, context.Canceled) {
			fmt.Fprintf(errw, "\nmillrace %s: interrupted\n", cmd.name)
			return interrupted
		}
		return c.exit(cmd, err)
	}
	fmt.Fprintf(errw, "millrace: there is no command %q (hint: millrace help)\n", args[0])
	return 2
}

func (c *cli) exit(cmd command, err error) int {
	var usage *usageError
	var finding *findingError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.As(err, &usage):
		fmt.Fprintf(c.err, "millrace %s: %s\nusage: %s   (millrace %s -h tells more)\n", cmd.name, visible(usage.msg), strings.TrimSpace("millrace "+cmd.name+" "+cmd.args), cmd.name)
		return 2
	case errors.As(err, &finding):
		if finding.msg != "" {
			fmt.Fprintf(c.err, "millrace %s: %s\n", cmd.name, visible(finding.msg))
		}
		return 3
	}
	fmt.Fprintf(c.err, "millrace %s: %s\n", cmd.name, visible(err.Error()))
	return 1
}

func usage(w io.Writer) {
	fmt.Fprint(w, "millrace makes production ML pipelines on AWS out of a folder with a definition, and runs them on a laptop.\n\n")
	for _, cmd := range commands() {
		fmt.Fprintf(w, "  millrace %-28s %s\n", cmd.name+" "+cmd.args, cmd.what)
	}
	fmt.Fprint(w, `
Every command takes --json and -h. RUN is PIPELINE/NUMBER, as in flights/1; versions of models have
numbers of their own (millrace models).
Commands work on the AWS account of the usual configuration (AWS_PROFILE, AWS_ENDPOINT_URL, …), else on the
local cloud that runs in this folder.
Exit codes: 0 done, 1 failed, 2 called wrongly, 3 the answer is bad news (invalid, failed, missing), 130 interrupted.
`)
}

// flags makes the flag set of a command that needs no cloud that runs already.
func (c *cli) flags(name, args, what string) *flag.FlagSet {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // wrong flags are told by exit
	fs.BoolVar(&c.json, "json", false, "answer in JSON")
	fs.Usage = func() {
		fmt.Fprintf(c.err, "%s\n\n%s\n\nflags:\n", strings.TrimSpace("usage: millrace "+name+" [flags] "+args), what)
		fs.VisitAll(func(f *flag.Flag) { fmt.Fprintln(c.err, describe(f)) })
	}
	return fs
}

// cloudFlags makes the flag set of a command that asks a cloud.
func (c *cli) cloudFlags(name, args, what string) *flag.FlagSet {
	fs := c.flags(name, args, what)
	fs.StringVar(&c.endpoint, "endpoint", "", "`URL` of the cloud (default: the account or endpoint of the usual AWS configuration, else the local cloud of this folder)")
	return fs
}

// describe writes a flag as it is typed, what it takes, and what for.
func describe(f *flag.Flag) string {
	kind, what := flag.UnquoteUsage(f)
	typed := "--" + f.Name
	if len(f.Name) == 1 {
		typed = "-" + f.Name
	}
	if kind != "" {
		typed += " " + kind
	}
	if f.DefValue != "" && f.DefValue != "0" && f.DefValue != "false" {
		what += " (default " + f.DefValue + ")"
	}
	return fmt.Sprintf("  %-18s %s", typed, what)
}

// parse parses flags wherever they stand among the arguments, as people write them.
func parse(fs *flag.FlagSet, args []string) ([]string, error) {
	var rest []string
	help := fs.Usage
	fs.Usage = func() {}
	for {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				help()
				return nil, err
			}
			return nil, &usageError{err.Error()}
		}
		args = fs.Args()
		if len(args) == 0 {
			return rest, nil
		}
		rest = append(rest, args[0])
		args = args[1:]
	}
}

// parseNone parses the flags of a command that takes nothing else.
func parseNone(fs *flag.FlagSet, args []string) error {
	rest, err := parse(fs, args)
	if err == nil && len(rest) > 0 {
		err = &usageError{fmt.Sprintf("unexpected argument %q", rest[0])}
	}
	return err
}

// print writes an answer: v as JSON with --json, else the text.
func (c *cli) print(v any, text func(w io.Writer)) error {
	if !c.json {
		text(visibleWriter{c.out})
		return nil
	}
	enc := json.NewEncoder(visibleWriter{c.out})
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// say talks to the person.
func (c *cli) say(format string, args ...any) {
	fmt.Fprint(c.err, visible(fmt.Sprintf(format+"\n", args...)))
}

// splitRef splits PIPELINE/NUMBER.
func splitRef(ref string) (pipeline string, n int, err error) {
	p, num, ok := strings.Cut(ref, "/")
	if ok {
		_, err = fmt.Sscanf(num, "%d", &n)
	}
	if !ok || err != nil || p == "" || n < 1 || fmt.Sprint(n) != num {
		return "", 0, &usageError{fmt.Sprintf("%q is not of the form PIPELINE/NUMBER, as in flights/1", ref)}
	}
	return p, n, nil
}
