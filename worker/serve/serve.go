// Package serve answers SageMaker's requests about a model: /ping, /invocations
// and /execution-parameters, for endpoints and for batch transforms.
package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/millrace-ml/millrace/worker/bundle"
	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/metrics"
)

// Limits of a request. SageMaker sends at most 100 MB (a batch transform's
// largest payload) and gives an answer 60 s.
const (
	MaxBody     = 101 << 20
	headerLimit = 10 * time.Second
	bodyLimit   = 60 * time.Second
	grace       = 25 * time.Second // SIGKILL follows SIGTERM after 30 s
)

// Run serves the model folder of base on a port until ctx ends. In a container
// SageMaker comes from outside; a plain process listens on loopback only.
func Run(ctx context.Context, base job.Base, port string, log *slog.Logger) error {
	if port == "" {
		port = "8080"
	}
	host := ""
	if base != job.DefaultBase {
		host = "127.0.0.1"
	}
	b, err := bundle.FromDir(base.Model(""))
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return fmt.Errorf("listen on port %s: %w", port, err)
	}
	log.Info("serving model", "pipeline", b.Spec.Pipeline, "address", l.Addr().String(), "trees", b.Model.NumTrees())
	return Serve(ctx, l, New(b, log))
}

// Serve answers on l until ctx ends, then lets requests under way finish.
func Serve(ctx context.Context, l net.Listener, h http.Handler) error {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: headerLimit, ReadTimeout: bodyLimit, WriteTimeout: 2 * bodyLimit,
		IdleTimeout: 5 * time.Minute, MaxHeaderBytes: 64 << 10,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := server.Shutdown(last); err != nil {
		return fmt.Errorf("stop serving: %w", err)
	}
	return nil
}

// New answers requests about a model; it is safe for concurrent use.
func New(b *bundle.Bundle, log *slog.Logger) http.Handler {
	h := &handler{model: b, log: log, asker: newAsker(b)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET /execution-parameters", h.parameters)
	mux.HandleFunc("POST /invocations", h.invocations)
	return mux
}

type handler struct {
	model *bundle.Bundle
	asker *asker
	log   *slog.Logger
}

// parameters is what suits a batch transform that does not say itself.
func (h *handler) parameters(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(w, `{"MaxConcurrentTransforms":%d,"BatchStrategy":"MULTI_RECORD","MaxPayloadInMB":6}`+"\n", min(16, runtime.GOMAXPROCS(0)))
}

// refusal is a request's fault with its status.
type refusal struct {
	status  int
	message string
}

func (r *refusal) Error() string { return r.message }

func refuse(status int, format string, args ...any) error {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

func (h *handler) invocations(w http.ResponseWriter, r *http.Request) {
	contentType, body, err := h.answer(w, r)
	if err != nil {
		status := http.StatusInternalServerError
		var known *refusal
		if errors.As(err, &known) {
			status = known.status
		} else {
			h.log.Error("request failed", "error", err.Error())
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, err.Error()+"\n") // the caller went away: nobody to tell
		return
	}
	if body == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body)
}

// Media types.
const (
	csvType  = "text/csv"
	jsonType = "application/json"
)

func (h *handler) answer(w http.ResponseWriter, r *http.Request) (contentType string, body []byte, err error) {
	in, err := mediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return "", nil, err
	}
	out, err := accepted(r.Header.Get("Accept"), in)
	if err != nil {
		return "", nil, err
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && coding != "identity" {
		return "", nil, refuse(http.StatusUnsupportedMediaType, "the content encoding %q is not supported; send the body as it is", coding)
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return "", nil, refuse(http.StatusRequestEntityTooLarge, "the body is larger than %d bytes", MaxBody)
	case err != nil:
		return "", nil, refuse(http.StatusBadRequest, "the body could not be read: %v", err)
	case len(bytes.TrimSpace(raw)) == 0:
		return "", nil, nil
	}
	var q *question
	if in == csvType {
		q, err = h.asker.fromCSV(raw)
	} else {
		q, err = h.asker.fromJSON(raw)
	}
	if err != nil {
		return "", nil, err
	}
	if q.rows == 0 {
		return "", nil, nil
	}
	scores := h.asker.ask(q)
	if out == csvType {
		return "text/csv; charset=utf-8", csvAnswer(scores, h.model.Width()), nil
	}
	body, err = jsonAnswer(q.keys, scores, h.model.Spec.Classes)
	return jsonType, body, err
}

// mediaType is the request's; rows of CSV when it names none, as batch
// transforms may not.
func mediaType(header string) (string, error) {
	if header == "" {
		return csvType, nil
	}
	t, _, err := mime.ParseMediaType(header)
	if err != nil || t != csvType && t != jsonType {
		return "", refuse(http.StatusUnsupportedMediaType, "the content type %q is not supported; send text/csv or application/json", header)
	}
	return t, nil
}

// accepted is the answer's type: the first one the caller takes, that of the
// request when any will do.
func accepted(header, in string) (string, error) {
	if strings.TrimSpace(header) == "" {
		return in, nil
	}
	for part := range strings.SplitSeq(header, ",") {
		t, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil || params["q"] == "0" {
			continue
		}
		switch t {
		case csvType, jsonType:
			return t, nil
		case "*/*":
			return in, nil
		case "text/*":
			return csvType, nil
		case "application/*":
			return jsonType, nil
		}
	}
	return "", refuse(http.StatusNotAcceptable, "answers are text/csv or application/json, not %q", header)
}

// csvAnswer is a line a row: its score, or the probability of each class.
func csvAnswer(scores []float32, width int) []byte {
	b := make([]byte, 0, 12*len(scores))
	for i, s := range scores {
		end := byte(',')
		if (i+1)%width == 0 {
			end = '\n'
		}
		b = append(strconv.AppendFloat(b, float64(s), 'g', -1, 32), end)
	}
	return b
}

// Prediction is one answer in JSON. Of several classes it names the likeliest, whose
// probability the score is, and has the probabilities of all.
type Prediction struct {
	Key           string             `json:"key,omitempty"`
	Class         string             `json:"class,omitempty"`
	Score         float32            `json:"score"`
	Probabilities map[string]float32 `json:"probabilities,omitempty"`
}

func jsonAnswer(keys []string, scores []float32, classes []string) ([]byte, error) {
	out := struct {
		Predictions []Prediction `json:"predictions"`
	}{make([]Prediction, len(keys))}
	for i := range out.Predictions {
		p := &out.Predictions[i]
		if p.Key = keys[i]; len(classes) == 0 {
			p.Score = scores[i]
			continue
		}
		row := scores[i*len(classes) : (i+1)*len(classes)]
		likeliest := metrics.Likeliest(row)
		p.Class, p.Score, p.Probabilities = classes[likeliest], row[likeliest], make(map[string]float32, len(classes))
		for c, name := range classes {
			p.Probabilities[name] = row[c]
		}
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return append(raw, '\n'), nil
}
