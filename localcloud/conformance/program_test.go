package conformance_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace-ml/millrace/localcloud/wire/wiretest"
)

// TestMain has all that goes over the wire judged by botocore's models. It makes this test binary the program of SageMaker's jobs as well, and
// the code of Lambda functions: see -image for what an account's image has to do.
func TestMain(m *testing.M) {
	if os.Getenv("AWS_LAMBDA_RUNTIME_API") != "" {
		function()
	}
	if len(os.Args) > 1 && slices.Contains([]string{"train", "serve", "copy", "fail", "sleep"}, os.Args[1]) {
		if err := program(os.Args[1]); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(wiretest.Judged(m.Run))
}

// program is what jobs run.
//
//	train   as the hyperparameter "do" says: write a model and a metric, fail with a reason, or sleep
//	serve   answer /ping, and /invocations with the body in upper case
//	copy    copy the input "in" to the output "out", and leave a message
//	fail    end with status 3
//	sleep   until it is stopped
func program(do string) error {
	base := os.Getenv("SAGEMAKER_BASE_DIR")
	if base == "" {
		base = "/opt/ml"
	}
	switch do {
	case "train":
		return train(base)
	case "serve":
		return serve()
	case "copy":
		raw, err := os.ReadFile(filepath.Join(base, "processing/input/in/k"))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(base, "output/message"), []byte("copied"), 0o644); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(base, "processing/output/k"), raw, 0o644)
	case "sleep":
		time.Sleep(time.Hour)
	}
	os.Exit(3)
	return nil
}

func train(base string) error {
	var parameters struct{ Do string }
	raw, err := os.ReadFile(filepath.Join(base, "input/config/hyperparameters.json"))
	if err == nil {
		err = json.Unmarshal(raw, &parameters)
	}
	if err != nil {
		return err
	}
	switch parameters.Do {
	case "fail":
		if err := os.WriteFile(filepath.Join(base, "output/failure"), []byte("the data is bad"), 0o644); err != nil {
			return err
		}
		os.Exit(1)
	case "sleep":
		time.Sleep(time.Hour)
	}
	fmt.Println("validation-loss:0.25;")
	return os.WriteFile(filepath.Join(base, "model/model.txt"), []byte("model"), 0o644)
}

func serve() error {
	port := os.Getenv("SAGEMAKER_BIND_TO_PORT")
	if port == "" {
		port = "8080"
	}
	http.HandleFunc("/ping", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/invocations", func(w http.ResponseWriter, r *http.Request) {
		raw, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, strings.ToUpper(string(raw)))
	})
	return http.ListenAndServe("127.0.0.1:"+port, nil)
}

// function serves a Lambda function by the runtime API: it answers its event,
// fails as {"fail": message} asks, or tells with {"env": name} of its environment.
func function() {
	api := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"
	for {
		next, err := http.Get(api + "next")
		if err != nil {
			os.Exit(1)
		}
		raw, err := io.ReadAll(next.Body)
		if err != nil || next.Body.Close() != nil {
			os.Exit(1)
		}
		id := next.Header.Get("Lambda-Runtime-Aws-Request-Id")
		var asked struct{ Fail, Env, Log string }
		_ = json.Unmarshal(raw, &asked) // an event of any other form is answered as it is
		answer, where := string(raw), "/response"
		switch {
		case asked.Fail != "":
			answer, where = fmt.Sprintf(`{"errorMessage":%q,"errorType":"Asked"}`, asked.Fail), "/error"
		case asked.Env != "":
			answer = fmt.Sprintf("%q", os.Getenv(asked.Env))
		case asked.Log != "":
			fmt.Println(asked.Log)
		}
		posted, err := http.Post(api+id+where, "application/json", strings.NewReader(answer))
		if err != nil || posted.Body.Close() != nil {
			os.Exit(1)
		}
	}
}
