package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// TestOnlyALocalCloudIsFound: a folder from somebody else may have a file that
// leads elsewhere; what is uploaded does not go there.
func TestOnlyALocalCloudIsFound(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	t.Chdir(t.TempDir())
	if _, ok := findRunning(t.Context()); ok {
		t.Error("found without a file")
	}
	for name, c := range map[string]struct {
		r    running
		want bool
	}{
		"a local cloud":      {running{Endpoint: server.URL, PID: os.Getpid()}, true},
		"no process":         {running{Endpoint: server.URL}, false},
		"all processes":      {running{Endpoint: server.URL, PID: -1}, false},
		"a name like ours":   {running{Endpoint: strings.Replace(server.URL, "127.0.0.1", "127.0.0.1.cloud.invalid", 1), PID: os.Getpid()}, false},
		"our name as a user": {running{Endpoint: strings.Replace(server.URL, "127.0.0.1", "127.0.0.1@cloud.invalid", 1), PID: os.Getpid()}, false},
		"no address":         {running{Endpoint: "::", PID: os.Getpid()}, false},
	} {
		if err := writeRunning(c.r); err != nil {
			t.Fatal(err)
		}
		if _, ok := findRunning(t.Context()); ok != c.want {
			t.Errorf("%s: found is %v", name, ok)
		}
	}
}
