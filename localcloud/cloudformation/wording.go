package cloudformation

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// problems gathers everything wrong with a template, to be told at once; what AWS
// would say is said in its words where there is nothing else to tell.
type problems []problem

type problem struct {
	text       string // path and what is wrong there
	aws        string // the whole message of AWS, "" where it has none
	unresolved string // the name that nothing has, if that is the problem
}

func (p *problems) add(path, format string, args ...any) {
	*p = append(*p, problem{text: path + ": " + fmt.Sprintf(format, args...)})
}

// worded adds a problem that AWS tells by itself, as message.
func (p *problems) worded(path, message, format string, args ...any) {
	*p = append(*p, problem{text: path + ": " + fmt.Sprintf(format, args...), aws: message})
}

// unresolved adds the use of a name that no resource, parameter or attribute has.
func (p *problems) unresolved(path, name string) {
	*p = append(*p, problem{text: path + ": unresolved resource dependencies [" + name + "]", unresolved: name})
}

// texts are the problems' sentences, sorted, each once.
func (p problems) texts() []string {
	var list []string
	for _, one := range p {
		list = append(list, one.text)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func (p problems) err() error {
	if len(p) == 0 {
		return nil
	}
	var names, blocks []string
	for _, one := range p {
		if one.unresolved != "" {
			block, _, _ := strings.Cut(one.text, "/")
			names, blocks = append(names, one.unresolved), append(blocks, block)
		}
	}
	slices.Sort(blocks)
	switch blocks = slices.Compact(blocks); {
	case len(p) == 1 && p[0].aws != "":
		return invalid("%s", p[0].aws)
	case len(names) == len(p) && len(blocks) == 1 && blocks[0] != "Conditions" && blocks[0] != "Rules":
		slices.Sort(names)
		return invalid("Template format error: %s", unresolvedIn(blocks[0], slices.Compact(names)...))
	}
	list := p.texts()
	return invalid("Template error: %d problem(s) found before anything was created: %s", len(list), strings.Join(list, "; "))
}

func unresolvedIn(block string, names ...string) string {
	return fmt.Sprintf("Unresolved resource dependencies [%s] in the %s block of the template", strings.Join(names, ", "), block)
}

// isUnresolved tells an error that unresolvedIn words.
func isUnresolved(err error) bool {
	return err != nil && strings.Contains(err.Error(), "Unresolved resource dependencies [")
}

// awsWorded is an error of a value that AWS tells without a path.
type awsWorded string

func (e awsWorded) Error() string { return string(e) }

// unresolvedName is a reference to what is not there, or is under a condition that is false.
type unresolvedName string

func (e unresolvedName) Error() string { return "unresolved resource dependencies [" + string(e) + "]" }

const (
	wrongGetAtt = "every Fn::GetAtt object requires two non-empty parameters, the resource name and the resource attribute"
	wrongSelect = "Fn::Select requires a list argument with two elements: an integer index and a list"
)

// valueError words why a value of a template cannot be told.
func valueError(block, path string, err error) error {
	var name unresolvedName
	var worded awsWorded
	switch {
	case errors.As(err, &name) && block == "Resources":
		return invalid("Template format error: %s", unresolvedIn(block, string(name)))
	case errors.As(err, &name):
		return invalid("%s", unresolvedIn(block, string(name)))
	case errors.As(err, &worded):
		return invalid("Template error: %s", worded)
	}
	return invalid("Template error: %s%v", path, err)
}
