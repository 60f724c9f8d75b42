// Package wiretest writes down what tests send to the local cloud and what it
// answers, and has it judged by botocore's service models: what AWS says of its
// own wire. For tests only.
package wiretest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// maxKept is how much of a body is kept. What is longer is an object of S3 or a
// function's code.
const maxKept = 4 << 20

// Exchange is one request and its answer, a line of a record.
type Exchange struct {
	Service  string              `json:"service"` // of the signature's scope; "" when there is none
	Caller   string              `json:"caller"`  // access key
	Method   string              `json:"method"`
	Path     string              `json:"path"` // as it was sent, escaped
	Query    string              `json:"query"`
	Headers  map[string][]string `json:"headers"` // names in lower case; without signatures and session tokens
	Body     Body                `json:"body"`
	Status   int                 `json:"status"`
	Returned map[string][]string `json:"returned_headers"`
	Answer   Body                `json:"answer"`
	Cut      bool                `json:"cut,omitempty"` // the connection was, or the client went away before the answer
}

// Body is what is kept of a body: Text, or Base64 when it is not UTF-8.
type Body struct {
	Text   string `json:"text,omitempty"`
	Base64 string `json:"base64,omitempty"`
	Size   int64  `json:"size"` // of the whole; what is kept may be less
}

// Recorder writes exchanges to files of one folder.
type Recorder struct{ folder string }

// NewRecorder records into a folder, which is made when it is not there.
func NewRecorder(folder string) (*Recorder, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make folder of the record: %w", err)
	}
	return &Recorder{folder: folder}, nil
}

// Around records what goes to a handler and comes from it, in a file of its own:
// a process that is killed loses the line that it writes at most.
func (r *Recorder) Around(next http.Handler) http.Handler {
	var mu sync.Mutex
	file, err := os.CreateTemp(r.folder, "wire-"+strconv.Itoa(os.Getpid())+"-*.jsonl")
	if err != nil {
		panic(fmt.Sprintf("record the wire: %v", err))
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.URL.Path, "/_millrace/") { // no AWS
			next.ServeHTTP(w, req)
			return
		}
		e := Exchange{Method: req.Method, Path: req.URL.EscapedPath(), Query: req.URL.RawQuery, Headers: kept(req.Header)}
		if c, err := wire.ParseCredential(req); err == nil {
			e.Service, e.Caller = c.Service, c.AccessKey
		}
		sent, answer := &body{}, &answer{ResponseWriter: w, status: http.StatusOK}
		req.Body = &tee{ReadCloser: req.Body, into: sent}
		answered := false
		defer func() {
			e.Cut = !answered || req.Context().Err() != nil
			e.Body, e.Answer, e.Status, e.Returned = sent.shown(), answer.body.shown(), answer.status, kept(w.Header())
			line, err := json.Marshal(e)
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				_, err = file.Write(append(line, '\n'))
			}
			if err != nil {
				panic(fmt.Sprintf("record the wire: %v", err))
			}
		}()
		next.ServeHTTP(answer, req)
		answered = true
	})
}

// kept leaves out what signs.
func kept(h http.Header) map[string][]string {
	out := map[string][]string{}
	for name, values := range h {
		switch name = strings.ToLower(name); name {
		case "authorization", "x-amz-security-token":
		default:
			out[name] = values
		}
	}
	return out
}

// body keeps the beginning of what is written to it.
type body struct {
	mu   sync.Mutex // an answer may begin while the request is still read
	kept bytes.Buffer
	size int64
}

func (b *body) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.size += int64(len(p))
	if room := maxKept - b.kept.Len(); room > 0 {
		b.kept.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (b *body) shown() Body {
	b.mu.Lock()
	defer b.mu.Unlock()
	if utf8.Valid(b.kept.Bytes()) {
		return Body{Text: b.kept.String(), Size: b.size}
	}
	return Body{Base64: base64.StdEncoding.EncodeToString(b.kept.Bytes()), Size: b.size}
}

type tee struct {
	io.ReadCloser
	into *body
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.ReadCloser.Read(p)
	_, _ = t.into.Write(p[:n])
	return n, err
}

type answer struct {
	http.ResponseWriter
	body   body
	status int
}

func (a *answer) WriteHeader(status int) {
	if status >= http.StatusOK { // not 100 Continue
		a.status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(p []byte) (int, error) {
	n, err := a.ResponseWriter.Write(p)
	_, _ = a.body.Write(p[:n])
	return n, err
}

// Unwrap gives http.ResponseController the writer's own abilities.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
