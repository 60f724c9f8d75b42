package definition

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxSource bounds a definition's size in bytes; maxDepth its nesting.
const (
	maxSource = 256 << 10
	maxDepth  = 12
)

// Parse reads a definition strictly and fills in its defaults. name is the file's
// name for messages. The error is a *Problems that holds everything wrong.
func Parse(name string, src []byte) (*Definition, error) { return parse(name, src, "") }

// Load reads pipelines/<name>/pipeline.yaml. The pipeline must have its folder's name.
func Load(fsys fs.FS, name string) (*Definition, error) {
	if !pipelineName.MatchString(name) {
		return nil, fmt.Errorf("load pipeline: %q is not a pipeline's name", clip(name))
	}
	file := path.Join("pipelines", name, "pipeline.yaml")
	src, err := fs.ReadFile(fsys, file)
	if err != nil {
		return nil, fmt.Errorf("load pipeline %s: %w", name, err)
	}
	return parse(file, src, name)
}

// Names lists the pipelines of a tree: the folders of pipelines/ with a pipeline.yaml, sorted.
func Names(fsys fs.FS) ([]string, error) {
	files, err := fs.Glob(fsys, "pipelines/*/pipeline.yaml")
	if err != nil {
		return nil, fmt.Errorf("list pipelines: %w", err)
	}
	var names []string
	for _, file := range files {
		names = append(names, path.Base(path.Dir(file)))
	}
	return names, nil
}

func parse(file string, src []byte, folder string) (*Definition, error) {
	r := &reader{}
	var d Definition
	src = bytes.TrimPrefix(src, []byte("\xEF\xBB\xBF")) // a byte order mark, as some editors write
	if root := r.root(src); root.given() {
		d = r.definition(root)
		if folder != "" && d.Name != "" && d.Name != folder {
			at := r.value(root.anyNode("name"), "name")
			r.problem(at.at, fmt.Sprintf("write name: %s, or rename the folder", folder), "%s is not the folder's name, %s", quote(d.Name), folder)
		}
	}
	if len(r.problems) > 0 {
		all := &Problems{File: file, List: r.problems}
		all.sort()
		return nil, all
	}
	return &d, nil
}

// anyNode gives the node of a key without reporting anything.
func (v value) anyNode(key string) ast.Node {
	quiet := value{r: &reader{}, node: v.node, at: v.at}
	return quiet.anyFields().byKey[key].node
}

// root gives the mapping of the only document, or reports why there is none.
func (r *reader) root(src []byte) value {
	top := place{1, 1, ""}
	switch {
	case len(src) > maxSource:
		r.problem(top, "", "the file has %d bytes; %d are allowed", len(src), maxSource)
		return value{}
	case !utf8.Valid(src):
		line := 1 + strings.Count(string(src[:invalidAt(src)]), "\n")
		r.problem(place{line, 1, ""}, "save the file as UTF-8", "the file is not UTF-8")
		return value{}
	}
	if line := tooDeep(src); line > 0 {
		r.problem(place{line, 1, ""}, "", "nested more than %d deep", maxDepth)
		return value{}
	}
	file, err := parseYAML(src)
	if err != nil {
		r.syntax(err)
		return value{}
	}
	var bodies []ast.Node
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if _, isComment := doc.Body.(*ast.CommentGroupNode); !isComment {
			bodies = append(bodies, doc.Body)
		}
	}
	if len(bodies) == 0 {
		r.problem(top, "begin with name: and data:", "the file is empty")
		return value{}
	}
	if len(bodies) > 1 {
		r.problem(r.value(bodies[1], "").at, "one file is one pipeline", "there is more than one document")
		return value{}
	}
	before := len(r.problems)
	r.plain(bodies[0], 0)
	if len(r.problems) > before {
		return value{}
	}
	return r.value(bodies[0], "")
}

// tooDeep is the line where so many brackets are open, or dashes and question marks
// begin it, that the parser would take memory by their square; 0 when there is none.
// Those in quotes count as well: there few are left open.
func tooDeep(src []byte) int {
	const most = 400
	open, entries, line, head := 0, 0, 1, true
	for _, c := range src {
		switch c {
		case '[', '{':
			open++
		case ']', '}':
			open = max(0, open-1)
		case '\n':
			line, entries, head = line+1, 0, true
			continue
		}
		if head = head && (c == ' ' || c == '-' || c == '?'); head && c != ' ' {
			entries++
		}
		if open > most || entries > most {
			return line
		}
	}
	return 0
}

func invalidAt(src []byte) int {
	for i := 0; i < len(src); {
		c, size := utf8.DecodeRune(src[i:])
		if c == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(src)
}

// parseYAML keeps a fault of the library from becoming ours.
func parseYAML(src []byte) (file *ast.File, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			file, err = nil, fmt.Errorf("not YAML that can be read: %v", fault)
		}
	}()
	return parser.ParseBytes(src, 0, parser.AllowDuplicateMapKey())
}

func (r *reader) syntax(err error) {
	var fault yaml.Error
	at, message, hint := place{1, 1, ""}, err.Error(), ""
	if errors.As(err, &fault) {
		message = fault.GetMessage()
		if t := fault.GetToken(); t != nil && t.Position != nil {
			at.line, at.column = t.Position.Line, t.Position.Column
		}
	}
	switch {
	case strings.Contains(message, "mapping value is not allowed"):
		hint = `text with ": " in it must be in quotes`
	case strings.Contains(message, "'\t'"), strings.Contains(message, "found character '\t'"):
		message, hint = "a tab cannot indent", "use spaces"
	}
	r.problem(at, hint, "%s", "not YAML: "+message)
}

// plain refuses what YAML has and a definition has no use for.
func (r *reader) plain(node ast.Node, depth int) {
	if node == nil {
		return
	}
	at := r.value(node, "").at
	if depth > maxDepth {
		r.problem(at, "", "nested more than %d deep", maxDepth)
		return
	}
	switch n := node.(type) {
	case *ast.AnchorNode, *ast.AliasNode:
		r.problem(at, "write the value out", "anchors (&) and aliases (*) are not supported")
	case *ast.TagNode:
		r.problem(at, "leave the tag out", "tags (!) are not supported")
	case *ast.MappingNode:
		for _, entry := range n.Values {
			r.plain(entry.Value, depth+1)
		}
	case *ast.MappingValueNode:
		r.plain(n.Value, depth+1)
	case *ast.SequenceNode:
		for _, item := range n.Values {
			r.plain(item, depth+1)
		}
	}
}

// Canonical is the definition as canonical JSON: the same bytes for the same meaning.
func (d *Definition) Canonical() ([]byte, error) {
	b, err := json.Marshal(d) // fields in their order, maps sorted, defaults written out
	if err != nil {
		return nil, fmt.Errorf("marshal definition %s: %w", d.Name, err)
	}
	return b, nil
}

// Digest is the SHA-256 of Canonical, in lower-case hexadecimal.
func (d *Definition) Digest() (string, error) {
	b, err := d.Canonical()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:]), nil
}
