package faults_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/localcloud/faults"
)

func newSet() *faults.Set { return faults.New(slog.New(slog.DiscardHandler)) }

// met gives the moments of n, from 1, at which a fault on s3:PutObject is met.
func met(t *testing.T, f faults.Fault, n int) []int {
	t.Helper()
	f.ID, f.On, f.Do = "f", faults.OnCall, faults.Throttle
	s := newSet()
	if _, err := s.Put(f); err != nil {
		t.Fatal(err)
	}
	var out []int
	for i := 1; i <= n; i++ {
		if s.Meet(faults.OnCall, faults.Match{Service: "s3", Operation: "PutObject", Caller: "worker", Call: i}, false) != nil {
			out = append(out, i)
		}
	}
	if h, err := s.Get("f"); err != nil || h.Hits != len(out) {
		t.Errorf("hits are %d, %v, but it was met %d times", h.Hits, err, len(out))
	}
	return out
}

func TestHowOftenAFaultIsMet(t *testing.T) {
	for name, tt := range map[string]struct {
		fault faults.Fault
		want  string
	}{
		"always":                  {faults.Fault{}, "[1,2,3,4,5,6]"},
		"twice":                   {faults.Fault{Count: 2}, "[1,2]"},
		"the third":               {faults.Fault{Skip: 2, Count: 1}, "[3]"},
		"all after the first":     {faults.Fault{Skip: 1}, "[2,3,4,5,6]"},
		"the fourth of its kind":  {faults.Fault{Match: faults.Match{Call: 4}}, "[4]"},
		"another operation":       {faults.Fault{Match: faults.Match{Operation: "GetObject"}}, "null"},
		"operations by their end": {faults.Fault{Match: faults.Match{Operation: "*Object", Caller: "w*k*r"}, Count: 1}, "[1]"},
		"nothing in between":      {faults.Fault{Match: faults.Match{Caller: "work"}}, "null"},
		"certainly":               {faults.Fault{Rate: 1}, "[1,2,3,4,5,6]"},
	} {
		t.Run(name, func(t *testing.T) {
			got, _ := json.Marshal(met(t, tt.fault, 6))
			if string(got) != tt.want {
				t.Errorf("met at %s, want %s", got, tt.want)
			}
		})
	}
}

func TestARateIsTheSameForASeed(t *testing.T) {
	one, same, other := met(t, faults.Fault{Rate: 0.2, Seed: 7}, 1000), met(t, faults.Fault{Rate: 0.2, Seed: 7}, 1000), met(t, faults.Fault{Rate: 0.2, Seed: 8}, 1000)
	a, _ := json.Marshal(one)
	b, _ := json.Marshal(same)
	c, _ := json.Marshal(other)
	if !bytes.Equal(a, b) || bytes.Equal(a, c) {
		t.Error("the seed does not decide")
	}
	// 200 ± 4 standard deviations of a binomial.
	if n := len(one); n < 150 || n > 250 {
		t.Errorf("a rate of 0.2 is met at %d of 1000", n)
	}
}

func TestOneFaultAtATime(t *testing.T) {
	s := newSet()
	for _, id := range []string{"first", "second"} {
		if _, err := s.Add(faults.Fault{ID: id, On: faults.OnJob, Do: faults.Fail, Count: 1}); err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"first", "second", ""} {
		got := ""
		if f := s.Meet(faults.OnJob, faults.Match{Kind: "training", Job: "j"}, false); f != nil {
			got = f.ID
		}
		if got != want {
			t.Errorf("met %q, want %q", got, want)
		}
	}
	_, seen := s.List()
	if len(seen) != 1 || seen[0].Count != 3 || seen[0].Match.Job != "j" {
		t.Errorf("seen is %+v", seen)
	}
	s.Clear()
	if held, seen := s.List(); len(held)+len(seen) > 0 {
		t.Errorf("after Clear there are %+v and %+v", held, seen)
	}
}

func TestOnlyProcessesAreKilled(t *testing.T) {
	s := newSet()
	if _, err := s.Add(faults.Fault{On: faults.OnCall, Do: faults.Kill}); err != nil {
		t.Fatal(err)
	}
	if f := s.Meet(faults.OnCall, faults.Match{Service: "s3"}, false); f != nil {
		t.Errorf("a caller without a process meets %+v", f)
	}
	if f := s.Meet(faults.OnCall, faults.Match{Service: "s3"}, true); f == nil {
		t.Error("a process is not killed")
	}
}

func TestNoSetHasNoFaults(t *testing.T) {
	var s *faults.Set
	if f := s.Meet(faults.OnCall, faults.Match{}, true); f != nil {
		t.Errorf("met %+v", f)
	}
}

func TestServicesFailInTheirOwnWords(t *testing.T) {
	for _, tt := range []struct {
		service string
		fault   faults.Fault
		code    string
		status  int
	}{
		{"s3", faults.Fault{Do: faults.Throttle}, "SlowDown", 503},
		{"lambda", faults.Fault{Do: faults.Throttle}, "TooManyRequestsException", 429},
		{"states", faults.Fault{Do: faults.Throttle}, "ThrottlingException", 400},
		{"s3", faults.Fault{Do: faults.Fail}, "InternalError", 500},
		{"lambda", faults.Fault{Do: faults.Fail}, "ServiceException", 500},
		{"sagemaker", faults.Fault{Do: faults.Fail}, "InternalFailure", 500},
		{"sagemaker", faults.Fault{Do: faults.Fail, Code: "ResourceLimitExceeded"}, "ResourceLimitExceeded", 400},
		{"sagemaker", faults.Fault{Do: faults.Fail, Code: "ServiceUnavailable", Status: 503}, "ServiceUnavailable", 503},
	} {
		if e := tt.fault.Err(tt.service); e.Code != tt.code || e.HTTPStatus() != tt.status || e.Message == "" {
			t.Errorf("%s, %+v: %+v", tt.service, tt.fault, e)
		}
	}
}

func TestWhatIsNoFaultIsRefused(t *testing.T) {
	for _, tt := range []struct{ fault, says string }{
		{`{"on":"call","do":"throttle","times":3}`, `unknown field "times"`},
		{`{"on":"call","do":"throttle","match":{"operations":"x"}}`, `unknown field "operations"`},
		{`{"on":"call","do":"throttle"} {}`, "there is more after it"},
		{`nonsense`, "invalid character"},
		{`{"on":"bucket","do":"drop"}`, "on must be one of call, event, invocation, job"},
		{`{"on":"event","do":"throttle"}`, "do must be one of delay, drop, duplicate, reorder"},
		{`{"on":"event","do":"delay"}`, `do "delay" needs seconds`},
		{`{"on":"call","do":"kill","seconds":2}`, `seconds does nothing with do "kill" on "call"`},
		{`{"on":"job","do":"fail","after":true}`, `after does nothing with do "fail" on "job"`},
		{`{"on":"event","do":"drop","match":{"caller":"x"}}`, `caller is not of on "event"`},
		{`{"on":"call","do":"throttle","rate":1.5}`, "rate must be between 0 and 1"},
		{`{"on":"call","do":"throttle","skip":-1}`, "must not be negative"},
		{`{"on":"call","do":"fail","status":200}`, "status must be between 400 and 599"},
		{`{"on":"event","do":"delay","seconds":1e9}`, "seconds must be between 0 and 86400"},
		{`{"id":"a b","on":"event","do":"drop"}`, `id "a b" must be`},
	} {
		f, err := faults.Parse([]byte(tt.fault))
		if err == nil {
			_, err = newSet().Add(f)
		}
		if !errors.Is(err, faults.ErrInvalid) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v, want %q", tt.fault, err, tt.says)
		}
	}
}

func TestControlPath(t *testing.T) {
	s := newSet()
	for _, tt := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"GET", "", "", 200, `"faults": []`},
		{"POST", "", `{"on":"event","do":"drop"}`, 201, `"id": "fault-1"`},
		{"POST", "", `{"id":"mine","on":"job","do":"slow","seconds":3}`, 201, `"hits": 0`},
		{"POST", "", `{"id":"mine","on":"job","do":"fail"}`, 409, "there is a fault of this id"},
		{"PUT", "/mine", `{"on":"job","do":"fail","message":"no machine"}`, 200, `"message": "no machine"`},
		{"PUT", "/mine", `{"id":"yours","on":"job","do":"fail"}`, 400, "the path says mine"},
		{"GET", "/mine", "", 200, `"do": "fail"`},
		{"GET", "/yours", "", 404, "there is no fault of this id"},
		{"DELETE", "/yours", "", 404, "there is no fault of this id"},
		{"DELETE", "/mine", "", 200, ""},
		{"GET", "", "", 200, "fault-1"},
		{"PATCH", "", "{}", 405, "GET, POST or DELETE"},
		{"POST", "/mine", "{}", 405, "GET, PUT or DELETE"},
		{"POST", "", `{"on":"event","do":"drop","color":1}`, 400, `unknown field \"color\"`},
		{"DELETE", "", "", 200, ""},
		{"GET", "", "", 200, `"faults": []`},
	} {
		r := httptest.NewRequest(tt.method, faults.Path+tt.path, strings.NewReader(tt.body))
		r.Header.Set("Content-Type", "application/json; charset=utf-8")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.says) {
			t.Errorf("%s %s %s: %d %s, want %d %q", tt.method, tt.path, tt.body, w.Code, w.Body, tt.status, tt.says)
		}
	}
}

// TestAPageCannotLayFaults: a form or a script of another origin can send only
// what needs no permission, which JSON does.
func TestAPageCannotLayFaults(t *testing.T) {
	s := newSet()
	for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"} {
		r := httptest.NewRequest(http.MethodPost, faults.Path, strings.NewReader(`{"on":"event","do":"drop"}`))
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, r); w.Code != http.StatusUnsupportedMediaType {
			t.Errorf("%q: %d %s", kind, w.Code, w.Body)
		}
	}
	if held, _ := s.List(); len(held) > 0 {
		t.Errorf("laid: %+v", held)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"id":"a","on":"call","match":{"service":"s3","call":2},"do":"kill","after":true,"skip":1,"count":1,"rate":0.5,"seed":3}`))
	f.Add([]byte(`{"on":"event","do":"delay","seconds":1e-9}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		fault, err := faults.Parse(raw)
		if err != nil {
			return
		}
		s := newSet()
		h, err := s.Add(fault)
		if err != nil {
			return
		}
		again, err := json.Marshal(h.Fault)
		if err != nil {
			t.Fatal(err)
		}
		same, err := faults.Parse(again)
		if err != nil || same != h.Fault {
			t.Errorf("%s is read as %+v, %v", again, same, err)
		}
	})
}
