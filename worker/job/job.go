// Package job is the ground a job stands on: the folders that SageMaker's
// container contract names, job.json, and the message and failure files that
// tell the service how the job ended.
package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/millrace-ml/millrace/shared/jobs/jobfile"
)

// DefaultBase is the root of the contract's folders inside a container.
const DefaultBase = "/opt/ml"

// MaxMessage is how much of the message file the service keeps, in bytes;
// MaxFailure the same of the failure file.
const (
	MaxMessage = 1024
	MaxFailure = 1024
)

// Names of errors in the message, as the state machine knows them.
const (
	DataRejected = "DataRejected" // the data, not the program, is at fault
	JobFailed    = "JobFailed"    // the program could not do its work
)

// Base is the folder that stands for /opt/ml.
type Base string

// BaseFrom is the base folder given by SAGEMAKER_BASE_DIR, the variable that
// SageMaker's own training toolkit knows; /opt/ml when it is empty.
func BaseFrom(env string) Base {
	if env == "" {
		return DefaultBase
	}
	return Base(env)
}

// Input is a processing job's input folder `name`.
func (b Base) Input(name string) string {
	return filepath.Join(string(b), "processing", "input", name)
}

// Output is a file of a processing job's output folder; the folder is made.
func (b Base) Output(elem ...string) (string, error) {
	path := filepath.Join(append([]string{string(b), "processing", "output"}, elem...)...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("make output folder %s: %w", filepath.Dir(path), err)
	}
	return path, nil
}

// Channel is a training job's input channel `name`.
func (b Base) Channel(name string) string {
	return filepath.Join(string(b), "input", "data", name)
}

// Hyperparameters is the training job's hyperparameters.json: all values are text.
func (b Base) Hyperparameters() (map[string]string, error) {
	raw, err := os.ReadFile(filepath.Join(string(b), "input", "config", "hyperparameters.json"))
	if err != nil {
		return nil, fmt.Errorf("read hyperparameters: %w", err)
	}
	var h map[string]string
	if err := json.Unmarshal(raw, &h); err != nil {
		return nil, fmt.Errorf("decode hyperparameters: %w", err)
	}
	return h, nil
}

// InputJSON reads a JSON file of a processing input; nil when the job was not
// given it. what names it in errors.
func InputJSON[T any](b Base, input, name, what string) (*T, error) {
	raw, err := os.ReadFile(filepath.Join(b.Input(input), name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var v T
	if err == nil {
		err = json.Unmarshal(raw, &v)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	return &v, nil
}

// Model is a file of the model folder: written by training, read by serving.
func (b Base) Model(name string) string { return filepath.Join(string(b), "model", name) }

// ProcessingFile is the job.json of a processing job.
func (b Base) ProcessingFile() (*jobfile.File, error) {
	return readFile(filepath.Join(b.Input("config"), jobfile.Name))
}

// TrainingFile is the job.json of a training job.
func (b Base) TrainingFile() (*jobfile.File, error) {
	return readFile(filepath.Join(b.Channel("config"), jobfile.Name))
}

func readFile(path string) (*jobfile.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open job file: %w", err)
	}
	defer f.Close()
	return jobfile.Read(f)
}

// Message is what a processing job tells the run: one JSON object of at most
// MaxMessage bytes. Facts are merged into the object beside ok, error and message.
type Message struct {
	OK      bool
	Error   string // a name the state machine knows, when not OK
	Message string // for a person
	Facts   map[string]any
}

// MarshalJSON fits the object into MaxMessage bytes: the text for a person is
// cut first, since everything else is read by a program.
func (m Message) MarshalJSON() ([]byte, error) {
	text := strings.ToValidUTF8(m.Message, "�")
	for {
		object := map[string]any{"ok": m.OK}
		for k, v := range m.Facts {
			object[k] = v
		}
		if m.Error != "" {
			object["error"] = m.Error
		}
		if text != "" {
			object["message"] = text
		}
		raw, err := json.Marshal(object)
		if err != nil {
			return nil, fmt.Errorf("encode message: %w", err)
		}
		over := len(raw) - MaxMessage
		if over <= 0 {
			return raw, nil
		}
		if text == "" {
			return nil, fmt.Errorf("encode message: facts alone are %d bytes over %d", over, MaxMessage)
		}
		// Escapes make a byte of text cost up to six; at least one byte goes each time.
		text = cut(text, max(0, len(text)-(over+5)/6-len("…")))
	}
}

// WriteMessage writes the processing job's message file.
func (b Base) WriteMessage(m Message) error {
	raw, err := m.MarshalJSON()
	if err != nil {
		return err
	}
	return b.PutMessage(raw)
}

// PutMessage writes a message that another machine of the job made.
func (b Base) PutMessage(raw []byte) error { return b.writeOutput("message", raw) }

// WriteFailure writes the training job's failure file.
func (b Base) WriteFailure(reason error) error {
	text := strings.ToValidUTF8(reason.Error(), "�")
	if len(text) > MaxFailure {
		text = cut(text, MaxFailure-len("…"))
	}
	return b.writeOutput("failure", []byte(text))
}

func (b Base) writeOutput(name string, raw []byte) error {
	path := filepath.Join(string(b), "output", name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make output folder: %w", err)
	}
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		return fmt.Errorf("write %s file: %w", name, err)
	}
	return nil
}

// cut shortens text to at most n bytes and an ellipsis, at a rune's boundary.
func cut(text string, n int) string {
	n = min(n, len(text))
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	if n == 0 {
		return ""
	}
	return strings.TrimRight(text[:n], "… \n") + "…"
}

// Process runs a processing job, and sees to it that there is a message also
// when it fails. The error is that of the job.
func (b Base) Process(run func() error) error {
	err := run()
	if err != nil {
		err = errors.Join(err, b.WriteMessage(Message{Error: JobFailed, Message: err.Error()}))
	}
	return err
}
