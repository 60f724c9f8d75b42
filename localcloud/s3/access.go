package s3

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3err"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// Evaluate decides by the policies of a caller's role: whether some statement
// allows the action, and whether one denies it.
type Evaluate func(c wire.Caller, action, resource string, conditions map[string][]string) (allowed, denied bool)

// identities tells the gateway who holds an access key and what they may do. The
// root of the account may do all; a role may do what its policies or the
// bucket's say.
type identities struct {
	secretFor wire.SecretFor
	evaluate  Evaluate
	account   string
	denied    func(c wire.Caller, action, resource string)
}

// errExpired refuses the credentials of a session that has ended.
var errExpired = s3err.APIError{Code: "ExpiredToken", Description: "The provided token has expired.", HTTPStatusCode: http.StatusBadRequest}

var (
	_ auth.IAMService         = (*identities)(nil)
	_ auth.SigningKeyProvider = (*identities)(nil)
	_ auth.PolicyEvaluator    = (*identities)(nil)
	_ auth.FixedBucketOwner   = (*identities)(nil)
	_ auth.PrincipalResolver  = (*identities)(nil)
)

// DeriveSigningKey gives the key that a request's signature must have been made with.
func (i *identities) DeriveSigningKey(access, token, date, region, service string) ([]byte, auth.Account, error) {
	secret, want, caller, ok := i.secretFor(access)
	if !ok && caller.Expired {
		return nil, auth.Account{}, errExpired
	}
	if !ok {
		return nil, auth.Account{}, auth.ErrNoSuchUser
	}
	if want != token {
		return nil, auth.Account{}, auth.ErrInvalidSessionToken
	}
	account := auth.Account{Access: strings.Clone(access), Role: auth.RoleUser, Arn: caller.ARN, RoleArn: caller.RoleARN, SessionToken: want, IsSession: want != ""}
	if caller.Root() {
		account.Role = auth.RoleAdmin
	}
	return wire.SigningKey(secret, date, region, service), account, nil
}

// EvaluatePolicy decides actions on resources by the caller's identity policies.
func (i *identities) EvaluatePolicy(access, _ string, actions []auth.Action, resources []string, conditions map[string][]string) (auth.PolicyEvaluation, error) {
	_, _, caller, ok := i.secretFor(access)
	if !ok {
		return auth.PolicyEvaluation{}, auth.ErrNoSuchUser
	}
	// Nothing leaves this machine: loopback counts as secure transport.
	conditions["aws:SecureTransport"] = []string{"true"}
	out := auth.PolicyEvaluation{PrincipalArn: caller.ARN}
	fill(&out.Decisions, len(resources), len(actions), func(r, a int) int {
		resource, _, _ := strings.Cut(resources[r], "?versionId=") // the gateway leaves it on a copy's source
		allowed, denied := i.evaluate(caller, string(actions[a]), resource, conditions)
		switch {
		case denied:
			i.denied(caller, string(actions[a]), resource)
			return decisionDeny
		case allowed:
			return decisionAllow
		}
		return decisionNoMatch
	})
	return out, nil
}

// The gateway's decisions, whose type it does not export.
const (
	decisionNoMatch = iota
	decisionAllow
	decisionDeny
)

func fill[D ~int](to *[][]D, rows, columns int, f func(row, column int) int) {
	for r := range rows {
		line := make([]D, columns)
		for c := range columns {
			line[c] = D(f(r, c))
		}
		*to = append(*to, line)
	}
}

// BucketOwner is the account, whoever creates a bucket.
func (i *identities) BucketOwner() auth.Account { return auth.Account{Access: i.account} }

// ResolvePrincipals takes any principal: one that does not exist matches nobody.
func (i *identities) ResolvePrincipals([]string) ([]string, error) { return nil, nil }

// GetUserAccount knows only who may own things: the account.
func (i *identities) GetUserAccount(access string) (auth.Account, error) {
	if access == i.account {
		return auth.Account{Access: access}, nil
	}
	return auth.Account{}, auth.ErrNoSuchUser
}

func (i *identities) ResolveAccounts([]string) ([]string, error)        { return nil, nil }
func (i *identities) CreateAccount(auth.Account) error                  { return errNotManaged() }
func (i *identities) DeleteUserAccount(string) error                    { return errNotManaged() }
func (i *identities) ListUserAccounts() ([]auth.Account, error)         { return nil, errNotManaged() }
func (i *identities) Shutdown() error                                   { return nil }
func (i *identities) UpdateUserAccount(string, auth.MutableProps) error { return errNotManaged() }

func errNotManaged() error { return s3err.GetAPIError(s3err.ErrAdminMethodNotSupported) }

// asksForPolicy reports a request that reads the policy, not one that is judged by it.
func asksForPolicy(ctx context.Context) bool {
	r, ok := ctx.(*fasthttp.RequestCtx)
	return ok && r.IsGet() && (r.QueryArgs().Has("policy") || r.QueryArgs().Has("policyStatus"))
}

// statement is what applicablePolicy looks at.
type statement struct {
	Principal json.RawMessage
	Condition map[string]map[string]json.RawMessage
}

// applicablePolicy leaves out the statements that can match no caller here: those
// about insecure transport, since loopback counts as secure, and those that name
// only AWS services, which do not come through the wire. nil when none is left.
func applicablePolicy(policy []byte) ([]byte, error) {
	return policyOf(policy, func(raw json.RawMessage, insecure, service bool) json.RawMessage {
		if insecure || service {
			return nil
		}
		return raw
	})
}

// checkablePolicy has everybody for AWS services, which the gateway's check does
// not know as principals.
func checkablePolicy(policy []byte) ([]byte, error) {
	return policyOf(policy, func(raw json.RawMessage, _, service bool) json.RawMessage {
		var members map[string]json.RawMessage
		if service && json.Unmarshal(raw, &members) == nil {
			members["Principal"] = json.RawMessage(`"*"`)
			raw, _ = json.Marshal(members) // what was read can be written
		}
		return raw
	})
}

// policyOf has what pick makes of each statement (nil: nothing), told whether it is
// about insecure transport and whether it names only AWS services. nil when none is left.
func policyOf(policy []byte, pick func(raw json.RawMessage, insecure, service bool) json.RawMessage) ([]byte, error) {
	var doc struct {
		Version   string `json:",omitempty"`
		ID        string `json:"Id,omitempty"`
		Statement []json.RawMessage
	}
	if err := json.Unmarshal(policy, &doc); err != nil {
		return nil, fmt.Errorf("read bucket policy: %w", err)
	}
	kept := make([]json.RawMessage, 0, len(doc.Statement))
	for _, raw := range doc.Statement {
		var s statement
		if err := json.Unmarshal(raw, &s); err != nil {
			return nil, fmt.Errorf("read bucket policy: %w", err)
		}
		var who map[string]json.RawMessage
		_ = json.Unmarshal(s.Principal, &who) // "*" is no map
		_, service := who["Service"]
		insecure := strings.Trim(string(s.Condition["Bool"]["aws:SecureTransport"]), `"[] `) == "false"
		if raw = pick(raw, insecure, service && len(who) == 1); raw != nil {
			kept = append(kept, raw)
		}
	}
	if len(kept) == 0 {
		return nil, nil
	}
	doc.Statement = kept
	out, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("write bucket policy: %w", err)
	}
	return out, nil
}
