package sagemaker_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// behaviourEnv makes the test binary play a container: jobs pass it in their
// Environment, and the image's program is this binary.
const behaviourEnv = "TEST_BEHAVIOUR"

func TestMain(m *testing.M) {
	if b := os.Getenv(behaviourEnv); b != "" {
		os.Exit(container(b))
	}
	os.Exit(m.Run())
}

func base(path string) string { return filepath.Join(os.Getenv("SAGEMAKER_BASE_DIR"), path) }

func must(err error) {
	if err != nil {
		fmt.Println("container:", err)
		os.Exit(99)
	}
}

func save(path, text string) {
	must(os.MkdirAll(filepath.Dir(base(path)), 0o755))
	must(os.WriteFile(base(path), []byte(text), 0o644))
}

// container plays one behaviour and returns its exit code.
func container(behaviour string) int {
	switch behaviour {
	case "show": // tells, in its output, everything that the platform gave it
		return show()
	case "train":
		fmt.Println("[1] train-logloss:0.70 validation-auc:0.61")
		fmt.Println("[2] train-logloss:0.45 validation-auc:0.79")
		save("model/sub/weights", "weights "+os.Getenv("SEED"))
		save("model/about.txt", "about")
		if os.Getenv("EXTRA") != "" {
			save("output/data/plot.svg", "<svg/>")
		}
	case "empty":
	case "fail":
		save("output/failure", "the label is constant\nreally")
		return 3
	case "first-fails": // the others wait for ever
		raw, err := os.ReadFile(base("config/resourceconfig.json"))
		must(err)
		var config struct {
			Current string   `json:"current_host"`
			Hosts   []string `json:"hosts"`
		}
		must(json.Unmarshal(raw, &config))
		if config.Current == config.Hosts[0] {
			return 1
		}
		time.Sleep(time.Hour)
	case "fail-silent":
		return 2
	case "killed":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Hour) // not select {}, which Go without cgo takes for a deadlock
	case "graceful": // saves what it has when told to end
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		fmt.Println("ready")
		<-term
		save("model/saved", "in time")
		save("processing/output/saved", "in time")
		save("output/message", `{"ok":false}`)
	case "deaf": // ignores SIGTERM, and has a child that would outlive it
		signal.Ignore(syscall.SIGTERM)
		child := exec.Command("sleep", "3600")
		must(child.Start())
		fmt.Println("child", child.Process.Pid)
		fmt.Println("ready")
		time.Sleep(time.Hour) // not select {}, which Go without cgo takes for a deadlock
	case "pid": // ignores SIGTERM, tells its number
		signal.Ignore(syscall.SIGTERM)
		fmt.Println(os.Getpid())
		fmt.Println("ready")
		time.Sleep(time.Hour) // not select {}, which Go without cgo takes for a deadlock
	case "orphan": // leaves a child behind that holds its output open
		child := exec.Command("sleep", "3600")
		child.Stdout = os.Stdout
		must(child.Start())
		fmt.Println("child", child.Process.Pid)
	case "message":
		save("output/message", spelled(os.Getenv("MESSAGE")))
		if os.Getenv("FAIL") != "" {
			return 4
		}
	case "latin1":
		save("output/message", "caf\xe9")
	case "outputs":
		save("processing/output/a/one.csv", "1")
		save("processing/output/a/deep/two.csv", "2")
		save("processing/output/b/three.csv", "3")
		must(os.Symlink("/etc/passwd", base("processing/output/a/link")))
		save("output/message", "done")
		if os.Getenv("FAIL") != "" {
			return 1
		}
	default:
		return serveModel(behaviour)
	}
	return 0
}

// spelled writes out "3*a 2*b" as aaabb: variables are shorter than messages. Other text stays.
func spelled(text string) string {
	out := ""
	for _, word := range strings.Fields(text) {
		n, what, ok := strings.Cut(word, "*")
		times, err := strconv.Atoi(n)
		if !ok || err != nil {
			return text
		}
		out += strings.Repeat(what, times)
	}
	return out
}

// show prints arguments, environment and all files below the base folder.
func show() int {
	all := map[string]any{"args": os.Args[1:], "cwd": cwd()}
	env := map[string]string{}
	for _, e := range os.Environ() {
		k, v, _ := strings.Cut(e, "=")
		env[k] = v
	}
	all["env"] = env
	tree := map[string]string{}
	must(filepath.Walk(base(""), func(p string, i os.FileInfo, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(base(""), p)
		if err != nil || i.IsDir() {
			tree[rel+"/"] = ""
			return err
		}
		raw, err := os.ReadFile(p)
		tree[rel] = string(raw)
		return err
	}))
	all["tree"] = tree
	raw, err := json.Marshal(all)
	must(err)
	fmt.Println(string(raw))
	return 0
}

func cwd() string {
	d, err := os.Getwd()
	must(err)
	return d
}

// serveModel plays a model that answers each CSV line with its number of
// columns, and each JSON line with {"n": its length}.
func serveModel(behaviour string) int {
	if len(os.Args) != 2 || os.Args[1] != "serve" {
		fmt.Println("want the argument serve, got", os.Args[1:])
		return 98
	}
	if os.Getenv("NEEDS_MODEL") != "" {
		raw, err := os.ReadFile(base("model/xgboost-model"))
		must(err)
		fmt.Println("model is", string(raw))
	}
	var tries atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ping", func(w http.ResponseWriter, _ *http.Request) {
		if behaviour == "serve-sick" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /execution-parameters", func(w http.ResponseWriter, r *http.Request) {
		if behaviour == "serve-plain" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, `{"MaxConcurrentTransforms":3,"BatchStrategy":"MULTI_RECORD","MaxPayloadInMB":1}`)
	})
	mux.HandleFunc("POST /invocations", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		must(err)
		fmt.Printf("invoked type=%s accept=%s bytes=%d lines=%d\n", r.Header.Get("Content-Type"), r.Header.Get("Accept"), len(body), strings.Count(string(body), "\n"))
		switch {
		case behaviour == "serve-crash":
			os.Exit(7)
		case behaviour == "serve-slow":
			fmt.Println("ready")
			time.Sleep(time.Hour)
		case behaviour == "serve-flaky" && tries.Add(1) <= 2:
			http.Error(w, "warming up", http.StatusServiceUnavailable)
			return
		case behaviour == "serve-broken":
			http.Error(w, "no", http.StatusInternalServerError)
			return
		case strings.Contains(string(body), "poison"):
			http.Error(w, "row 1, column 2: poison is not a number", http.StatusBadRequest)
			return
		case behaviour == "serve-short":
			fmt.Fprintln(w, "1")
			return
		}
		answerLines(w, r.Header.Get("Content-Type"), string(body))
	})
	must(os.WriteFile(base("model/served"), nil, 0o644)) // the model's folder is there
	must(http.ListenAndServe("127.0.0.1:"+os.Getenv("SAGEMAKER_BIND_TO_PORT"), mux))
	return 0
}

func answerLines(w io.Writer, contentType, body string) {
	if contentType == "application/json" {
		fmt.Fprintf(w, `{"n":%d}`, len(body))
		return
	}
	sc := bufio.NewScanner(strings.NewReader(body))
	sc.Buffer(nil, 8<<20)
	for sc.Scan() {
		if contentType == "application/jsonlines" {
			fmt.Fprintf(w, "{\"n\":%d}\n", len(sc.Text()))
		} else {
			fmt.Fprintln(w, strings.Count(sc.Text(), ",")+1)
		}
	}
}
