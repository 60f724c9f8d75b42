package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// Path is where faults are laid and looked at; it needs no signature.
const Path = "/_millrace/faults"

// maxBody bounds a fault as text, in bytes.
const maxBody = 64 << 10

var idForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,128}$`)

// members are what a fault on something can match, and what each thing that it
// can do needs and may have besides.
var members = map[string]struct {
	match []string
	do    map[string]deed
}{
	OnEvent: {[]string{"source", "detail_type", "rule"}, map[string]deed{
		Duplicate: {may: []string{"seconds"}}, Delay: {need: []string{"seconds"}}, Drop: {}, Reorder: {need: []string{"seconds"}}}},
	OnCall: {[]string{"service", "operation", "caller", "call"}, map[string]deed{
		Throttle: {}, Fail: {may: []string{"code", "status", "message", "after"}}, Cut: {may: []string{"after"}}, Kill: {may: []string{"after"}}}},
	OnInvocation: {[]string{"function"}, map[string]deed{Kill: {may: []string{"after"}}}},
	OnJob:        {[]string{"kind", "job"}, map[string]deed{Fail: {may: []string{"message"}}, Slow: {need: []string{"seconds"}}, Interrupt: {need: []string{"seconds"}}}},
}

type deed struct{ need, may []string }

// always are the members that every fault may have.
var always = []string{"id", "on", "match", "do", "skip", "count", "rate", "seed"}

// Parse reads a fault. What it does not know it refuses.
func Parse(raw []byte) (Fault, error) {
	var f Fault
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return f, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return f, fmt.Errorf("%w: there is more after it", ErrInvalid)
	}
	return f, nil
}

// check tells everything that is wrong with a fault.
func (f *Fault) check() error {
	var wrong []string
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if !idForm.MatchString(f.ID) {
		bad("id %q must be 1 to 128 letters, digits, dots, hyphens and underscores", f.ID)
	}
	if f.Rate < 0 || f.Rate > 1 {
		bad("rate must be between 0 and 1")
	}
	if f.Seconds < 0 || f.Seconds > 86400 {
		bad("seconds must be between 0 and 86400")
	}
	if f.Skip < 0 || f.Count < 0 || f.Match.Call < 0 {
		bad("skip, count and call must not be negative")
	}
	if f.Status != 0 && (f.Status < 400 || f.Status > 599) {
		bad("status must be between 400 and 599")
	}
	if kind, ok := members[f.On]; !ok {
		bad("on must be one of %s", strings.Join(names(members), ", "))
	} else {
		for _, name := range given(f.Match) {
			if !slices.Contains(kind.match, name) {
				bad("match: %s is not of on %q, which has %s", name, f.On, strings.Join(kind.match, ", "))
			}
		}
		if deed, ok := kind.do[f.Do]; !ok {
			bad("do must be one of %s for on %q", strings.Join(names(kind.do), ", "), f.On)
		} else {
			f.checkDeed(deed, bad)
		}
	}
	if len(wrong) > 0 {
		return fmt.Errorf("%w: %s", ErrInvalid, strings.Join(wrong, "; "))
	}
	return nil
}

func (f *Fault) checkDeed(d deed, bad func(string, ...any)) {
	has := given(*f)
	for _, name := range d.need {
		if !slices.Contains(has, name) {
			bad("do %q needs %s", f.Do, name)
		}
	}
	for _, name := range has {
		if !slices.Contains(always, name) && !slices.Contains(d.need, name) && !slices.Contains(d.may, name) {
			bad("%s does nothing with do %q on %q", name, f.Do, f.On)
		}
	}
}

// given names the members of a Fault or Match that say something, sorted.
func given(v any) []string {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	return names(m)
}

func names[V any](m map[string]V) []string {
	return slices.Sorted(maps.Keys(m))
}

// ServeHTTP is the control path: GET lists, POST and PUT lay, DELETE takes away.
func (s *Set) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, Path), "/")
	if s == nil {
		refuse(w, http.StatusNotFound, errors.New("faults are off: start the local cloud with `millrace up --faults` to use them"))
		return
	}
	// A page in a browser can send what it likes to this address, but not as JSON.
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if (r.Method == http.MethodPost || r.Method == http.MethodPut) && kind != "application/json" {
		refuse(w, http.StatusUnsupportedMediaType, errors.New("a fault is sent as Content-Type: application/json (with curl: --json)"))
		return
	}
	answer, status, err := s.serve(w, r, id)
	switch {
	case errors.Is(err, ErrInvalid):
		status = http.StatusBadRequest
	case errors.Is(err, ErrExists):
		status = http.StatusConflict
	case errors.Is(err, ErrUnknown):
		status = http.StatusNotFound
	}
	if err != nil {
		refuse(w, status, err)
		return
	}
	write(w, status, answer)
}

func (s *Set) serve(w http.ResponseWriter, r *http.Request, id string) (answer any, status int, err error) {
	switch {
	case r.Method == http.MethodGet && id == "":
		faults, seen := s.List()
		return map[string]any{"faults": faults, "seen": seen}, http.StatusOK, nil
	case r.Method == http.MethodGet:
		h, err := s.Get(id)
		return h, http.StatusOK, err
	case r.Method == http.MethodDelete && id == "":
		s.Clear()
		return map[string]any{}, http.StatusOK, nil
	case r.Method == http.MethodDelete:
		return map[string]any{}, http.StatusOK, s.Remove(id)
	case r.Method == http.MethodPost && id == "", r.Method == http.MethodPut && id != "":
		raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			return nil, 0, fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		f, err := Parse(raw)
		if err != nil {
			return nil, 0, err
		}
		if id == "" {
			h, err := s.Add(f)
			return h, http.StatusCreated, err
		}
		if f.ID != "" && f.ID != id {
			return nil, 0, fmt.Errorf("%w: its id is %s, but the path says %s", ErrInvalid, f.ID, id)
		}
		f.ID = id
		h, err := s.Put(f)
		return h, http.StatusOK, err
	}
	w.Header().Set("Allow", "GET, POST, PUT, DELETE")
	return nil, http.StatusMethodNotAllowed, fmt.Errorf("%s %s is nothing: GET, POST or DELETE %s, or GET, PUT or DELETE %s/ID", r.Method, r.URL.Path, Path, Path)
}

func refuse(w http.ResponseWriter, status int, err error) {
	write(w, status, map[string]string{"error": err.Error()})
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(v)
}
