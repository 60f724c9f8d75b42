package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/millrace-ml/millrace/worker/bundle"
	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/serve"
)

// served trains the trips and serves the model.
func served(t *testing.T) (h http.Handler, p *platform) {
	t.Helper()
	p = newPlatform(t, trips(), tripFiles())
	trained, _ := p.train(p.prepare())
	b, err := bundle.FromDir(trained.Model(""))
	if err != nil {
		t.Fatal(err)
	}
	return serve.New(b, p.log), p
}

type request struct{ contentType, accept, body string }

func ask(h http.Handler, r request) *httptest.ResponseRecorder {
	in := httptest.NewRequest(http.MethodPost, "/invocations", strings.NewReader(r.body))
	if r.contentType != "" {
		in.Header.Set("Content-Type", r.contentType)
	}
	if r.accept != "" {
		in.Header.Set("Accept", r.accept)
	}
	in.Header.Set("X-Amzn-SageMaker-Custom-Attributes", "ignored")
	out := httptest.NewRecorder()
	h.ServeHTTP(out, in)
	return out
}

const (
	rowA = "A,2025-03-03T08:15:00Z,12.5,east\n"
	rowB = "B,2025-03-03 12:00:00,,north\n"
)

func TestInvocations(t *testing.T) {
	h, _ := served(t)
	plain := ask(h, request{contentType: "text/csv", body: rowA + rowB})
	scores := strings.Fields(plain.Body.String())
	if plain.Code != http.StatusOK || len(scores) != 2 || scores[0] == scores[1] {
		t.Fatalf("%d %q", plain.Code, plain.Body)
	}
	for _, s := range scores {
		if v, err := strconv.ParseFloat(s, 32); err != nil || v <= 0 || v >= 1 {
			t.Errorf("score is %q", s)
		}
	}
	inJSON := fmt.Sprintf(`{"predictions":[{"key":"A","score":%s},{"key":"B","score":%s}]}`, scores[0], scores[1]) + "\n"
	instances := `{"instances":[{"trip":"A","at":"2025-03-03T08:15:00Z","distance":12.5,"zone":"east"},{"trip":"B","at":"2025-03-03 12:00:00","distance":null,"zone":"north"}]}`
	tests := map[string]struct {
		in   request
		want string
	}{
		"no content type":       {request{body: rowA + rowB}, plain.Body.String()},
		"charset":               {request{contentType: "text/csv; charset=utf-8", body: rowA + rowB}, plain.Body.String()},
		"no end of line":        {request{contentType: "text/csv", body: strings.TrimSuffix(rowA+rowB, "\n")}, plain.Body.String()},
		"CRLF":                  {request{contentType: "text/csv", body: strings.ReplaceAll(rowA+rowB, "\n", "\r\n")}, plain.Body.String()},
		"header":                {request{contentType: "text/csv", body: "trip,at,distance,zone\n" + rowA + rowB}, plain.Body.String()},
		"byte order mark":       {request{contentType: "text/csv", body: "\xEF\xBB\xBFtrip,at,distance,zone\n" + rowA + rowB}, plain.Body.String()},
		"header in other order": {request{contentType: "text/csv", body: "zone,trip,at,distance\neast,A,2025-03-03T08:15:00Z,12.5\nnorth,B,2025-03-03 12:00:00,\n"}, plain.Body.String()},
		"header without key":    {request{contentType: "text/csv", body: "zone,at,distance\neast,2025-03-03T08:15:00Z,12.5\n"}, scores[0] + "\n"},
		"CSV to JSON":           {request{contentType: "text/csv", accept: "application/json", body: rowA + rowB}, inJSON},
		"JSON":                  {request{contentType: "application/json", body: instances}, inJSON},
		"JSON to CSV":           {request{contentType: "application/json", accept: "text/csv", body: instances}, plain.Body.String()},
		"JSON, any answer":      {request{contentType: "application/json", accept: "image/png, */*;q=0.1", body: instances}, inJSON},
		"one object":            {request{contentType: "application/json", accept: "text/csv", body: `{"trip":1,"at":"2025-03-03T08:15:00Z","distance":"12.5","zone":"east"}`}, scores[0] + "\n"},
		"unseen category":       {request{contentType: "application/json", body: `{"at":null,"distance":null,"zone":"moon"}`}, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := ask(h, tt.in)
			if got.Code != http.StatusOK || tt.want != "" && got.Body.String() != tt.want {
				t.Errorf("%d %q, want %q", got.Code, got.Body, tt.want)
			}
		})
	}
}

func TestInvocationsRefuse(t *testing.T) {
	h, _ := served(t)
	tests := map[string]struct {
		in     request
		status int
		want   string
	}{
		"empty body":          {request{contentType: "text/csv"}, 204, ""},
		"blank body":          {request{contentType: "text/csv", body: "\n \n"}, 204, ""},
		"no instance":         {request{contentType: "application/json", body: `{"instances":[]}`}, 204, ""},
		"header alone":        {request{contentType: "text/csv", body: "trip,at,distance,zone\n"}, 204, ""},
		"content type":        {request{contentType: "application/x-parquet", body: "x"}, 415, "application/x-parquet"},
		"bad content type":    {request{contentType: ";;", body: "x"}, 415, "is not supported"},
		"accept":              {request{contentType: "text/csv", accept: "image/png", body: rowA}, 406, "image/png"},
		"few values":          {request{contentType: "text/csv", body: rowA + "B,2025-03-03 12:00:00\n"}, 400, "row 2 (line 2): 2 values, want 4: trip, at, distance, zone"},
		"wrong type":          {request{contentType: "text/csv", body: rowA + rowB + "C,2025-03-03 12:00:00,far,north\n"}, 400, `row 3, column "distance": `},
		"wrong time":          {request{contentType: "text/csv", body: "trip,at,distance,zone\nC,noon,1,north\n"}, 400, `row 1, column "at": `},
		"infinity":            {request{contentType: "text/csv", body: "C,2025-03-03 12:00:00,inf,north\n"}, 400, `column "distance": `},
		"not UTF-8":           {request{contentType: "text/csv", body: "C,2025-03-03 12:00:00,1,n\xff\n"}, 400, "line 1: the text is not UTF-8"},
		"open quote":          {request{contentType: "text/csv", body: "C,\"2025\n"}, 400, "a quote is opened and never closed"},
		"header column":       {request{contentType: "text/csv", body: "trip,at,distance,zone,colour\n"}, 400, `the model has no column "colour"`},
		"header lacks":        {request{contentType: "text/csv", body: "trip,at,distance\n"}, 400, `the column "zone" is missing`},
		"header twice":        {request{contentType: "text/csv", body: "trip,at,distance,zone,zone\n"}, 400, `the column "zone" is named twice`},
		"not JSON":            {request{contentType: "application/json", body: "{"}, 400, "not a JSON object"},
		"a JSON list":         {request{contentType: "application/json", body: "[1]"}, 400, `not a JSON object: send {"instances"`},
		"instances no list":   {request{contentType: "application/json", body: `{"instances":7}`}, 400, `"instances" is not a list`},
		"more than instances": {request{contentType: "application/json", body: `{"instances":[],"x":1}`}, 400, `more than "instances"`},
		"instance no object":  {request{contentType: "application/json", body: `{"instances":[null]}`}, 400, "row 1 is not an object"},
		"unknown column":      {request{contentType: "application/json", body: `{"at":null,"distance":1,"zone":"x","colour":1}`}, 400, `row 1: the model has no column "colour"`},
		"missing column":      {request{contentType: "application/json", body: `{"instances":[{"at":null,"distance":1}]}`}, 400, `row 1: the column "zone" is missing`},
		"column twice":        {request{contentType: "application/json", body: `{"at":null,"distance":1,"distance":2,"zone":"x"}`}, 400, `duplicate object member name "distance"`},
		"JSON, not UTF-8":     {request{contentType: "application/json", body: "{\"at\":null,\"distance\":1,\"zone\":\"\xff\"}"}, 400, "invalid UTF-8"},
		"JSON lines":          {request{contentType: "application/json", body: "{\"at\":null,\"distance\":1,\"zone\":\"x\"}\n{}"}, 400, "not a JSON object"},
		"nested value":        {request{contentType: "application/json", body: `{"at":null,"distance":[1],"zone":"x"}`}, 400, `column "distance": the value is neither`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := ask(h, tt.in)
			if got.Code != tt.status || !strings.Contains(got.Body.String(), tt.want) {
				t.Errorf("%d %q, want %d %q", got.Code, got.Body, tt.status, tt.want)
			}
		})
	}
}

// endless is a body of one byte again and again.
type endless struct{}

func (endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 'x'
	}
	return len(b), nil
}

func TestCompressedBody(t *testing.T) {
	h, _ := served(t)
	in := httptest.NewRequest(http.MethodPost, "/invocations", strings.NewReader("\x1f\x8b"))
	in.Header.Set("Content-Encoding", "gzip")
	out := httptest.NewRecorder()
	h.ServeHTTP(out, in)
	if out.Code != http.StatusUnsupportedMediaType || !strings.Contains(out.Body.String(), `the content encoding "gzip" is not supported`) {
		t.Errorf("%d %q", out.Code, out.Body)
	}
}

func TestTooLargeABody(t *testing.T) {
	h, _ := served(t)
	in := httptest.NewRequest(http.MethodPost, "/invocations", io.LimitReader(endless{}, serve.MaxBody+1))
	out := httptest.NewRecorder()
	h.ServeHTTP(out, in)
	if out.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("%d %q", out.Code, out.Body)
	}
}

// Rows asked about one by one, in a block and in training give the same scores.
func TestScoresAgree(t *testing.T) {
	h, p := served(t)
	prepared := p.prepare()
	raw := p.read(prepared, "processing", "output", "rows", "test-rows.csv")
	var body strings.Builder
	lines := strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
	for _, line := range lines[1:] { // trip, at, zone, distance
		c := strings.Split(line, ",")
		fmt.Fprintf(&body, "%s,%s,%s,%s\n", c[0], c[1], c[3], c[2])
	}
	block := strings.Fields(ask(h, request{contentType: "text/csv", body: body.String()}).Body.String())
	if len(block) != len(lines)-1 {
		t.Fatalf("%d scores for %d rows", len(block), len(lines)-1)
	}
	for i, row := range strings.SplitAfter(body.String(), "\n")[:50] {
		if one := strings.TrimSpace(ask(h, request{contentType: "text/csv", body: row}).Body.String()); one != block[i] {
			t.Errorf("row %d: %s alone, %s in a block", i, one, block[i])
		}
	}
}

func TestServer(t *testing.T) {
	h, _ := served(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve.Serve(ctx, l, h) }()
	url := "http://" + l.Addr().String()
	ping, err := http.Get(url + "/ping")
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(ping.Body)
	ping.Body.Close()
	if err != nil || ping.StatusCode != http.StatusOK || len(body) != 0 {
		t.Errorf("ping: %d %q %v", ping.StatusCode, body, err)
	}
	parameters, err := http.Get(url + "/execution-parameters")
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		MaxConcurrentTransforms, MaxPayloadInMB int
		BatchStrategy                           string
	}
	err = json.NewDecoder(parameters.Body).Decode(&p)
	parameters.Body.Close()
	if err != nil || p.BatchStrategy != "MULTI_RECORD" || p.MaxConcurrentTransforms < 1 || p.MaxPayloadInMB != 6 {
		t.Errorf("parameters: %+v %v", p, err)
	}
	want := ask(h, request{contentType: "text/csv", body: rowA}).Body.Bytes()
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 20 {
				r, err := http.Post(url+"/invocations", "text/csv", strings.NewReader(rowA))
				if err != nil {
					t.Error(err)
					return
				}
				got, err := io.ReadAll(r.Body)
				r.Body.Close()
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%q %v, want %q", got, err, want)
				}
			}
		})
	}
	callers.Wait()
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("the server ended with %v", err)
	}
}

func FuzzInvocations(f *testing.F) {
	p := newPlatform(f, trips(), tripFiles())
	trained, _ := p.train(p.prepare())
	b, err := bundle.FromDir(trained.Model(""))
	if err != nil {
		f.Fatal(err)
	}
	h := serve.New(b, p.log)
	f.Add("text/csv", rowA)
	f.Add("application/json", `{"instances":[{"at":null,"distance":1,"zone":"x"}]}`)
	f.Add("text/csv", "zone,at,distance\n\"\",\"\"\"\",\n")
	f.Fuzz(func(t *testing.T, contentType, body string) {
		got := ask(h, request{contentType: contentType, body: body})
		switch got.Code {
		case 200, 204, 400, 415:
		default:
			t.Errorf("%d %q", got.Code, got.Body)
		}
	})
}

func TestServeRunRefuses(t *testing.T) {
	p := newPlatform(t, trips(), tripFiles())
	trained, _ := p.train(p.prepare())
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if err := serve.Run(context.Background(), trained, port, p.log); err == nil || !strings.Contains(err.Error(), "listen on port "+port) {
		t.Errorf("with the port taken the error is %v", err)
	}
	if err := serve.Run(context.Background(), job.Base(t.TempDir()), "0", p.log); !errors.Is(err, bundle.ErrNoModel) {
		t.Errorf("without a model the error is %v", err)
	}
}
