package prepare

import (
	"context"
	"crypto/sha256"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/spill"
)

// The machines of a job talk over TCP: all but the first listen, and the first
// one calls them, once to tell what to do and once more for each sorted stream.
// A caller shows the digest of job.json, so that jobs do not get mixed up.
const (
	clusterPort = "8787"           // where a host's name has none
	patience    = 30 * time.Minute // for a machine that is still being started
	farewell    = 5 * time.Second  // to say why the job failed
)

// Kinds of calls.
const (
	callOrders byte = 'o'
	callStream byte = 's'
)

// cluster is resourceconfig.json of a processing job.
type cluster struct {
	Current string   `json:"current_host"`
	Hosts   []string `json:"hosts"`
}

// readCluster reads who is in the job; one machine when nothing says so.
func readCluster(base job.Base) (cluster, error) {
	raw, err := os.ReadFile(filepath.Join(string(base), "config", "resourceconfig.json"))
	if errors.Is(err, os.ErrNotExist) {
		return cluster{Hosts: []string{""}}, nil
	}
	var c cluster
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil {
		return c, fmt.Errorf("read resourceconfig.json: %w", err)
	}
	slices.Sort(c.Hosts)
	if !slices.Contains(c.Hosts, c.Current) {
		return c, fmt.Errorf("read resourceconfig.json: the current host %q is none of %q", c.Current, c.Hosts)
	}
	return c, nil
}

// address is where a host listens. A local cloud names hosts by address and port,
// since they are all one machine.
func address(host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(host, clusterPort)
}

// digestOf is what callers show.
func digestOf(base job.Base) ([]byte, error) {
	raw, err := os.ReadFile(filepath.Join(base.Input("config"), jobfile.Name))
	if err != nil {
		return nil, fmt.Errorf("read job file: %w", err)
	}
	sum := sha256.Sum256(raw)
	return sum[:], nil
}

// order is what the first machine tells another one.
type order struct {
	Do     string // held | look | infer | check | write | finish
	Look   []int
	Infer  inferring
	Check  checking
	Write  writing
	Finish ending
}

// ending is how the job ends: by its message, or by why it failed.
type ending struct {
	Message []byte
	Failed  string
}

// answer is what the other one says to it.
type answer struct {
	Err      string
	Held     []int
	Looked   []looked
	Inferred []inferred
	Checked  []checked
}

// remote is another machine of the job.
type remote struct {
	name   string
	digest []byte
	conn   net.Conn // nil before the first order
	enc    *gob.Encoder
	dec    *gob.Decoder
}

// call connects, waiting for the other one to be there.
func (r *remote) call(ctx context.Context, kind byte, wait time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var d net.Dialer
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		conn, err := d.DialContext(ctx, "tcp", address(r.name))
		if err == nil {
			if _, err = conn.Write(append(slices.Clone(r.digest), kind)); err == nil {
				return conn, nil
			}
			conn.Close()
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("call machine %s: %w", r.name, errors.Join(ctx.Err(), err))
		case <-time.After(pause):
		}
	}
}

func (r *remote) tell(ctx context.Context, o order) (a answer, err error) {
	if r.conn == nil {
		if r.conn, err = r.call(ctx, callOrders, patience); err != nil {
			return a, err
		}
		r.enc, r.dec = gob.NewEncoder(r.conn), gob.NewDecoder(r.conn)
	}
	stop := context.AfterFunc(ctx, func() { r.conn.Close() })
	defer stop()
	if err = r.enc.Encode(o); err == nil {
		err = r.dec.Decode(&a)
	}
	switch {
	case ctx.Err() != nil:
		return a, ctx.Err()
	case err != nil:
		return a, fmt.Errorf("machine %s went away: %w", r.name, err)
	case a.Err != "":
		return a, fmt.Errorf("machine %s: %s", r.name, a.Err)
	}
	return a, nil
}

func (r *remote) held(ctx context.Context) ([]int, error) {
	a, err := r.tell(ctx, order{Do: "held"})
	return a.Held, err
}

func (r *remote) look(ctx context.Context, files []int) ([]looked, error) {
	a, err := r.tell(ctx, order{Do: "look", Look: files})
	return a.Looked, err
}

func (r *remote) infer(ctx context.Context, in inferring) ([]inferred, error) {
	a, err := r.tell(ctx, order{Do: "infer", Infer: in})
	return a.Inferred, err
}

func (r *remote) check(ctx context.Context, in checking) ([]checked, error) {
	a, err := r.tell(ctx, order{Do: "check", Check: in})
	return a.Checked, err
}

func (r *remote) write(ctx context.Context, in writing) error {
	_, err := r.tell(ctx, order{Do: "write", Write: in})
	return err
}

func (r *remote) sorted(ctx context.Context, what int) (spill.Stream, error) {
	conn, err := r.call(ctx, callStream, time.Minute)
	if err != nil {
		return nil, err
	}
	if err := gob.NewEncoder(conn).Encode(what); err != nil {
		conn.Close()
		return nil, fmt.Errorf("ask machine %s: %w", r.name, err)
	}
	return spill.NewReader(conn), nil
}

func (r *remote) finish(ctx context.Context, end ending) error {
	if r.conn == nil && end.Failed != "" {
		return nil // it has not heard of the job yet, and SageMaker ends it
	}
	if end.Failed != "" { // the last order may still be on its way
		r.conn.Close()
		var err error
		if r.conn, err = r.call(context.WithoutCancel(ctx), callOrders, farewell); err != nil {
			return err
		}
		r.enc, r.dec = gob.NewEncoder(r.conn), gob.NewDecoder(r.conn)
	}
	_, err := r.tell(context.WithoutCancel(ctx), order{Do: "finish", Finish: end})
	r.conn.Close()
	return err
}
