package cloudformation

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// A dynamic reference stands in a property's text for a value that is kept
// elsewhere: {{resolve:ssm:NAME}} or {{resolve:ssm:NAME:VERSION}} for one of the
// parameter store.
var dynamicReference = regexp.MustCompile(`\{\{resolve:([^:}]*):?([^}]*)\}\}`)

// checkDynamic finds references to what is not here.
func checkDynamic(path string, v any, p *problems) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range sortedKeys(v) {
			checkDynamic(path+"/"+k, v[k], p)
		}
	case []any:
		for _, e := range v {
			checkDynamic(path, e, p)
		}
	case string:
		for _, m := range dynamicReference.FindAllStringSubmatch(v, -1) {
			if m[1] != "ssm" || m[2] == "" {
				p.add(path, "the dynamic reference %s is not supported by the local cloud (it has {{resolve:ssm:NAME}} and {{resolve:ssm:NAME:VERSION}})", m[0])
			}
		}
	}
}

// properties are a resource's, with every function call and dynamic reference
// replaced by its value.
func (e *environment) properties(r *resource) (map[string]any, error) {
	resolved, err := e.resolve(mapOf(r.Properties))
	if err != nil {
		return nil, err
	}
	if resolved, err = e.dynamic(resolved); err != nil {
		return nil, err
	}
	return resolved.(map[string]any), nil
}

// dynamic replaces the dynamic references in a value.
func (e *environment) dynamic(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case map[string]any:
		for _, k := range sortedKeys(v) {
			if v[k], err = e.dynamic(v[k]); err != nil {
				return nil, err
			}
		}
	case []any:
		for i := range v {
			if v[i], err = e.dynamic(v[i]); err != nil {
				return nil, err
			}
		}
	case string:
		text := dynamicReference.ReplaceAllStringFunc(v, func(m string) string {
			if err != nil {
				return m
			}
			parts := dynamicReference.FindStringSubmatch(m)
			if parts[1] != "ssm" {
				err = fmt.Errorf("the dynamic reference %s is not supported by the local cloud", m)
				return m
			}
			var value string
			value, err = e.stored(parts[2])
			return value
		})
		return text, err
	}
	return v, nil
}

// stored reads a parameter of the parameter store as who acts for a stack.
func (c *CloudFormation) stored(s *stack) func(name string) (string, error) {
	return func(name string) (string, error) {
		p, found, err := c.parameter(wire.WithCaller(c.ctx, c.actor(s)), name)
		switch {
		case err != nil:
			return "", fmt.Errorf("read parameter %s: %w", name, err)
		case !found:
			return "", fmt.Errorf("Unable to resolve the dynamic reference to %s: there is no such parameter, or not this version of it", name) //nolint:revive,staticcheck // shown to people
		case p.Type == "SecureString":
			return "", fmt.Errorf("SSM Secure reference is not supported in: [%s]", name) //nolint:revive,staticcheck // AWS's wording
		}
		return p.Value, nil
	}
}

// storedParameter is a parameter of the parameter store.
type storedParameter struct{ Type, Value string }

// parameter reads a parameter of the parameter store, by its name or name:version.
func (c *CloudFormation) parameter(ctx context.Context, name string) (p storedParameter, found bool, err error) {
	in, err := json.Marshal(map[string]any{"Names": []string{name}})
	if err != nil {
		return p, false, fmt.Errorf("encode name of parameter %s: %w", name, err)
	}
	raw, err := c.o.Call(ctx, "ssm", "GetParameters", in)
	if err != nil {
		return p, false, err
	}
	var answer struct{ Parameters []storedParameter }
	if err := json.Unmarshal(raw, &answer); err != nil {
		return p, false, fmt.Errorf("read parameter %s: %w", name, err)
	}
	if len(answer.Parameters) != 1 {
		return p, false, nil
	}
	return answer.Parameters[0], true, nil
}

// isDynamic reports a text that is known only once its references are resolved.
func isDynamic(v any) bool {
	s, ok := v.(string)
	return ok && strings.Contains(s, "{{resolve:")
}
