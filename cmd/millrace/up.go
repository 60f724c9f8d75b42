package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/millrace-ml/millrace/localcloud"
	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/faults"
)

// defaultPort is where the local cloud listens when nothing else is said; a
// taken one leads to the next free one.
const (
	defaultPort = 4577
	portsTried  = 20
)

// cloudOptions say how to start the local cloud.
type cloudOptions struct {
	dir       string // state folder; "" with ephemeral
	ephemeral bool
	port      int // 0: defaultPort, or a free one after it
	assembly  string
	empty     bool // deploy nothing
	verbose   bool
	faults    bool        // things can be made to go wrong
	bin       string      // folder with what `make build` makes; where this program lies when empty
	private   bool        // do not write down where it is to be found
	clock     clock.Clock // nil: the machine's
}

// around sees all that goes over the wire, when tests record it.
var around func(http.Handler) http.Handler

// cloud is a running local cloud.
type cloud struct {
	endpoint string
	cfg      aws.Config
	done     chan error // what Serve returned
	stop     context.CancelFunc
	cloud    *localcloud.Cloud
}

func runUp(ctx context.Context, c *cli, args []string) error {
	fs := c.flags("up", "", "Starts the local cloud, deploys Millrace into it, prints the endpoint's URL, and serves until stopped.")
	o, clockName := cloudOptions{}, ""
	fs.BoolVar(&o.ephemeral, "ephemeral", false, "keep no state")
	fs.StringVar(&o.dir, "dir", filepath.Join(stateFolder, "cloud"), "state folder")
	fs.IntVar(&o.port, "port", 0, fmt.Sprintf("port on 127.0.0.1 (default %d, or the next free one)", defaultPort))
	fs.StringVar(&o.assembly, "assembly", "", "cloud assembly to deploy, such as cdk.out (default: the one that was built)")
	fs.BoolVar(&o.empty, "empty", false, "deploy nothing")
	fs.BoolVar(&o.verbose, "verbose", false, "log everything")
	fs.StringVar(&clockName, "clock", "real", "`CLOCK` of the cloud: real; scaled:N, N times as fast; or virtual, which jumps over waits")
	fs.BoolVar(&o.faults, "faults", false, "let things be made to go wrong, at ENDPOINT"+faults.Path)
	err := parseNone(fs, args)
	if err != nil {
		return err
	}
	if err := noneRuns(ctx); err != nil {
		return err
	}
	if o.clock, err = clock.Parse(clockName); err != nil {
		return &usageError{err.Error()}
	}
	up, err := startCloud(ctx, o)
	if errors.Is(err, localcloud.ErrAhead) {
		return fmt.Errorf("%w (hint: --clock virtual, --clock scaled:1, or another --dir)", err)
	}
	if err != nil {
		return err
	}
	err = c.print(map[string]any{"endpoint": up.endpoint, "pid": os.Getpid(), "clock": clockName}, func(w writer) { fmt.Fprintln(w, up.endpoint) })
	c.say("\nTo use it from another terminal: millrace in this folder finds it by itself; aws and boto3 need\n%s\nStop it with Ctrl-C or `millrace down`.", exports(up.endpoint))
	if _, real := o.clock.(clock.Real); !real {
		c.say("Its clock is %s, and it is %s there.%s", clockName, o.clock.Now().Format(time.RFC3339), aboutClock(clockName))
	}
	return errors.Join(err, up.wait())
}

// aboutClock is what to know of a clock that is not real, by its name.
func aboutClock(name string) string {
	if times, scaled := strings.CutPrefix(name, "scaled:"); scaled {
		return fmt.Sprintf(" A second here is %s there,\nalso for what really runs: a job that takes long here can run out of its time there.", times)
	}
	return " Waits pass at once; schedules and time limits come\nin their time, or when you say so: millrace clock advance 7d."
}

// exports are the shell lines that point the AWS CLI and SDKs at an endpoint.
func exports(endpoint string) string {
	// boto3 and the AWS CLI read AWS_DEFAULT_REGION, the other SDKs AWS_REGION.
	return fmt.Sprintf("  export AWS_ENDPOINT_URL=%s AWS_REGION=%s\n  export AWS_DEFAULT_REGION=%s AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s",
		endpoint, localRegion, localRegion, localKey, localKey)
}

// startCloud starts the local cloud in this process and deploys into it.
func startCloud(ctx context.Context, o cloudOptions) (*cloud, error) {
	bin, err := o.bin, error(nil)
	if bin == "" {
		if bin, err = binFolder(); err != nil {
			return nil, err
		}
	}
	ln, err := listen(o.port)
	if err != nil {
		return nil, err
	}
	level := slog.LevelWarn
	if o.verbose {
		level = slog.LevelDebug
	}
	worker := filepath.Join(bin, "worker")
	lc, err := localcloud.New(ctx, localcloud.Options{
		Dir: o.dir, Ephemeral: o.ephemeral, Account: localAccount, Region: localRegion,
		Clock: o.clock, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
		Images: map[string]string{workerImage: worker}, Faults: o.faults, Around: around,
	})
	if err != nil {
		ln.Close()
		return nil, fmt.Errorf("start local cloud: %w", err)
	}
	if !o.private {
		if err := noneRuns(ctx); err != nil {
			return nil, errors.Join(err, ln.Close(), lc.Close())
		}
	}
	serveCtx, stop := context.WithCancel(ctx)
	up := &cloud{endpoint: "http://" + ln.Addr().String(), done: make(chan error, 1), stop: stop, cloud: lc}
	up.cfg = localConfig(up.endpoint)
	go func() { up.done <- lc.Serve(serveCtx, ln) }()
	if !o.empty {
		err = deployLocal(ctx, up.cfg, bin, o.assembly, worker)
	}
	if err == nil && !o.private {
		err = writeRunning(running{Endpoint: up.endpoint, PID: os.Getpid(), Dir: o.dir})
	}
	if err != nil {
		return nil, errors.Join(err, up.close())
	}
	return up, nil
}

// noneRuns refuses a second local cloud in this folder: commands could find
// only one of them.
func noneRuns(ctx context.Context) error {
	if r, ok := findRunning(ctx); ok {
		return fmt.Errorf("a local cloud runs in this folder already: %s, process %d (hint: `millrace down` stops it)", r.Endpoint, r.PID)
	}
	return nil
}

func deployLocal(ctx context.Context, cfg aws.Config, bin, dir, worker string) error {
	if dir == "" {
		dir = filepath.Join(bin, "assembly")
	}
	a, err := readAssembly(dir)
	if err != nil {
		return err
	}
	if err := checkDefinitions(a); err != nil {
		return err
	}
	params, err := localParameters(worker)
	if err != nil {
		return err
	}
	return deploy(ctx, cfg, a, params)
}

// close stops the cloud and waits until it has.
func (u *cloud) close() error {
	u.stop()
	return u.wait()
}

// wait waits until the cloud stops serving, and tidies up.
func (u *cloud) wait() error {
	err := <-u.done
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	err = errors.Join(err, u.cloud.Close())
	// Last, for `millrace down` waits for it: what follows finds the state folder free.
	if r, rerr := readRunning(); rerr == nil && r.PID == os.Getpid() {
		err = errors.Join(err, os.Remove(runningFile()))
	}
	return err
}

// listen takes a port on the loopback interface.
func listen(port int) (net.Listener, error) {
	if port != 0 {
		ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("port %d is taken by another program (hint: leave out --port to take the next free one, or `millrace down` if it is a local cloud of this folder)", port)
		}
		if err != nil {
			return nil, fmt.Errorf("listen on port %d: %w", port, err)
		}
		return ln, nil
	}
	var err error
	for p := defaultPort; p < defaultPort+portsTried; p++ {
		var ln net.Listener
		if ln, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p))); err == nil {
			return ln, nil
		}
	}
	return nil, fmt.Errorf("ports %d to %d are all taken: %w (hint: --port)", defaultPort, defaultPort+portsTried-1, err)
}

// binFolder is where this program lies, with what it needs beside it.
func binFolder() (string, error) {
	exe, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	if exe, err = filepath.EvalSymlinks(exe); err != nil {
		return "", fmt.Errorf("find this program: %w", err)
	}
	return filepath.Dir(exe), nil
}

func readRunning() (r running, err error) {
	raw, err := os.ReadFile(runningFile())
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(raw, &r)
}

func writeRunning(r running) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write %s: %w", runningFile(), err)
	}
	if err := os.MkdirAll(stateFolder, 0o700); err != nil {
		return fmt.Errorf("write %s: %w", runningFile(), err)
	}
	if err := os.WriteFile(runningFile(), raw, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", runningFile(), err)
	}
	return nil
}
