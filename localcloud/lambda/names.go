package lambda

import (
	"context"
	"net/http"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

func (l *Lambda) functionARN(name string) string {
	return "arn:aws:lambda:" + l.o.Region + ":" + l.o.Account + ":function:" + name
}

const maxName = 64 // of a function that is made

var functionName = regexp.MustCompile(`^[a-zA-Z0-9_-]+$`)

// parse takes a name, a partial or a full ARN, each with or without a
// qualifier, and gives the bare name and the qualifier.
func (l *Lambda) parse(id, qualifier *string) (name, q string, err error) {
	name, q = aws.ToString(id), aws.ToString(qualifier)
	if rest, ok := strings.CutPrefix(name, "arn:aws:lambda:"); ok {
		parts := strings.Split(rest, ":")
		if len(parts) < 4 || parts[2] != "function" {
			return "", "", invalid("%s is not the ARN of a function", name)
		}
		if parts[0] != l.o.Region {
			return "", "", status(http.StatusNotFound, "ResourceNotFoundException", "Functions from '%s' are not reachable in this region ('%s')", parts[0], l.o.Region)
		}
		if parts[1] != l.o.Account {
			return "", "", status(http.StatusForbidden, "AccessDeniedException", "%s is a function of another account", name)
		}
		name = strings.Join(parts[3:], ":")
	} else if _, rest, ok := strings.Cut(name, ":function:"); ok {
		name = rest
	}
	if bare, embedded, ok := strings.Cut(name, ":"); ok {
		if q != "" && q != embedded {
			return "", "", invalid("The derived qualifier from the function name does not match the specified qualifier.")
		}
		name, q = bare, embedded
	}
	if !functionName.MatchString(name) {
		return "", "", status(http.StatusBadRequest, "ValidationException",
			"1 validation error detected: Value '%s' at 'functionName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9-_]+", name)
	}
	return name, q, nil
}

// resolve is parse for operations on $LATEST, the one version that there is.
func (l *Lambda) resolve(id, qualifier *string) (name, q string, err error) {
	if name, q, err = l.parse(id, qualifier); err != nil {
		return "", "", err
	}
	if q != "" && q != latest {
		return "", "", l.notFound(name, q)
	}
	return name, q, nil
}

// find authorizes the action on the named function and reads it.
func (l *Lambda) find(ctx context.Context, action string, id, qualifier *string) (function, error) {
	name, q, err := l.resolve(id, qualifier)
	if err != nil {
		return function{}, err
	}
	if err := l.allow(ctx, action, l.functionARN(name)); err != nil {
		return function{}, err
	}
	f, err := l.load(name)
	if q != "" && wire.HasCode(err, "ResourceNotFoundException") {
		return f, l.notFound(name, q)
	}
	return f, err
}

// get is find for who reads the configuration: asked for a version, it has the version's ARN.
func (l *Lambda) get(ctx context.Context, action string, id, qualifier *string) (function, error) {
	f, err := l.find(ctx, action, id, qualifier)
	if err != nil {
		return f, err
	}
	_, q, err := l.parse(id, qualifier)
	f.Config.FunctionArn = aws.String(qualified(f.arn(), q))
	return f, err
}

func (l *Lambda) load(name string) (function, error) {
	f, ok, err := l.functions.Get(name)
	if err != nil {
		return f, err
	}
	if !ok {
		return f, l.notFound(name, "")
	}
	return f, nil
}

func (l *Lambda) notFound(name, qualifier string) error {
	return status(http.StatusNotFound, "ResourceNotFoundException", "Function not found: %s", qualified(l.functionARN(name), qualifier))
}

func qualified(arn, qualifier string) string {
	if qualifier == "" {
		return arn
	}
	return arn + ":" + qualifier
}
