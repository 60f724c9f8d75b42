// Package model knows what AWS says of its services' inputs and errors: required
// members, lengths, ranges, enums and patterns, with AWS's wording of what breaks
// them, and the form of errors. Derived by gen from the service models of botocore
// 1.43.11 (Apache-2.0, © Amazon.com, Inc.; see NOTICE), of which it keeps one file
// a service, for the operations that the local cloud serves.
package model

import (
	"embed"
	"encoding/json"
	"fmt"
	"regexp"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Service is what is known of one service.
type Service struct {
	Operations map[string]string `json:"operations"` // operation → input shape
	Errors     map[string]Error  `json:"errors"`     // those with a form of their own, by the name of their shape
	Shapes     map[string]Shape  `json:"shapes"`

	name     string
	style    style
	mu       sync.Mutex
	patterns map[string]*regexp.Regexp
}

// Error is the form of an error.
type Error struct {
	Code    string `json:"code,omitempty"`    // of the query protocol, where it is not the name
	Status  int    `json:"status,omitempty"`  // HTTP; 0 is 400
	Message string `json:"message,omitempty"` // the member that holds the message; "message" when empty
	Typed   bool   `json:"typed,omitempty"`   // it has a member Type: User or Service
}

// Shape is one shape of the service model.
type Shape struct {
	Type      string      `json:"type"`
	Members   [][2]string `json:"members,omitempty"` // name, shape; in the model's order
	Required  []string    `json:"required,omitempty"`
	Member    string      `json:"member,omitempty"` // of a list
	Key       string      `json:"key,omitempty"`    // of a map
	Value     string      `json:"value,omitempty"`
	Enum      []string    `json:"enum,omitempty"`
	Min       *float64    `json:"min,omitempty"`
	Max       *float64    `json:"max,omitempty"`
	Pattern   string      `json:"pattern,omitempty"`
	GoPattern string      `json:"go,omitempty"` // where Go's syntax differs
}

// Regexp is the shape's pattern for Go, anchored: botocore's are not, AWS matches whole values.
func (s Shape) Regexp() string {
	p := s.Pattern
	if s.GoPattern != "" {
		p = s.GoPattern
	}
	return `^(?:` + p + `)$`
}

//go:embed *.json
var files embed.FS

var (
	loadedMu sync.Mutex
	loaded   = map[string]*Service{}
)

// Of gives what is known of a service, by its SigV4 name; nil where nothing is.
func Of(name string) *Service {
	loadedMu.Lock()
	defer loadedMu.Unlock()
	if s, ok := loaded[name]; ok {
		return s
	}
	raw, err := files.ReadFile(name + ".json")
	if err != nil {
		return nil
	}
	s := &Service{name: name, style: styles[name], patterns: map[string]*regexp.Regexp{}}
	if err := json.Unmarshal(raw, s); err != nil {
		panic(fmt.Sprintf("model: read %s.json: %v", name, err)) // a file of the program's own
	}
	if s.style.code == "" {
		s.style.code = "ValidationException"
	}
	loaded[name] = s
	return s
}

// ErrorOf gives the form of an error, by its name or its query code.
func (s *Service) ErrorOf(code string) (name string, e Error) {
	if e, ok := s.Errors[code]; ok {
		return code, e
	}
	for name, e := range s.Errors {
		if e.Code == code {
			return name, e
		}
	}
	return code, Error{}
}

// matches reports whether a text is all of a shape's pattern.
func (s *Service) matches(shape Shape, text string) bool {
	s.mu.Lock()
	re, ok := s.patterns[shape.Pattern]
	if !ok {
		re = regexp.MustCompile(shape.Regexp())
		s.patterns[shape.Pattern] = re
	}
	s.mu.Unlock()
	return re.MatchString(text)
}

// LowerFirst makes the first letter lower case: RoleArn → roleArn.
func LowerFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToLower(r)) + s[n:]
}

// upperFirst is its opposite, which the SDK's members have.
func upperFirst(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[n:]
}
