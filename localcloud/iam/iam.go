package iam

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/store"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

// Options say whose account it is.
type Options struct {
	Account, Region string
	Clock           clock.Clock
	Store           *store.Store
	Log             *slog.Logger
}

// Credentials of the account's owner.
const rootKey, rootSecret = "test", "test"

// IAM keeps roles and sessions.
type IAM struct {
	o     Options
	table *store.Table[role]
	iam   *wire.Service
	sts   *wire.Service

	mu       sync.RWMutex
	roles    map[string]*compiled // by name
	sessions map[string]session   // by access key
	standing map[string]string    // role and session name → access key, of sessions without end
}

// role is a role as it is kept.
type role struct {
	Name, ID, Path, Description string
	Created                     time.Time
	Trust                       string
	MaxSession                  int32             // seconds
	Inline                      map[string]string // policy name → document
	Attached                    []string          // managed policy ARNs, in order
	Tags                        map[string]string `json:",omitempty"`
}

// compiled is a role with its documents parsed.
type compiled struct {
	role
	trust    *Document
	policies []*Document
}

// session is credentials of a role.
type session struct {
	secret, token string
	caller        wire.Caller
	ends          time.Time // zero: never
}

// New opens the service.
func New(o Options) (*IAM, error) {
	s := &IAM{o: o, roles: map[string]*compiled{}, sessions: map[string]session{}, standing: map[string]string{}}
	var err error
	if s.table, err = store.NewTable[role](o.Store, "iam/roles"); err != nil {
		return nil, err
	}
	var bad error
	err = s.table.Scan("", func(name string, r role) bool {
		c, err := compile(r)
		if err != nil {
			bad = fmt.Errorf("read role %s: %w", name, err)
			return false
		}
		s.roles[name] = c
		return true
	})
	if err == nil {
		err = bad
	}
	if err != nil {
		return nil, err
	}
	s.iam, s.sts = s.iamService(), s.stsService()
	return s, nil
}

func randomID(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	return base32.StdEncoding.EncodeToString(b)[:n]
}

// Wire is IAM's routing table.
func (s *IAM) Wire() *wire.Service { return s.iam }

// STS is STS's routing table.
func (s *IAM) STS() *wire.Service { return s.sts }

func compile(r role) (*compiled, error) {
	c := &compiled{role: r}
	var err error
	if c.trust, err = Parse(r.Trust, Trust); err != nil {
		return nil, err
	}
	for _, document := range r.Inline {
		d, err := Parse(document, Permissions)
		if err != nil {
			return nil, err
		}
		c.policies = append(c.policies, d)
	}
	for _, arn := range r.Attached {
		d, err := Parse(managed[arn], Permissions)
		if err != nil {
			return nil, err
		}
		c.policies = append(c.policies, d)
	}
	return c, nil
}

func (s *IAM) roleARN(r role) string {
	return "arn:aws:iam::" + s.o.Account + ":role" + r.Path + r.Name
}

// byARN finds a role by its ARN.
func (s *IAM) byARN(arn string) (*compiled, bool) {
	_, path, ok := strings.Cut(arn, ":role/")
	if !ok {
		return nil, false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	c, ok := s.roles[path[strings.LastIndex(path, "/")+1:]]
	if !ok || s.roleARN(c.role) != arn {
		return nil, false
	}
	return c, true
}

// SecretFor finds the secret of an access key, its session token and whose it
// is. Of one that has expired it tells only that.
func (s *IAM) SecretFor(accessKey string) (secret, token string, c wire.Caller, ok bool) {
	if accessKey == rootKey {
		return rootSecret, "", wire.Caller{Account: s.o.Account, ARN: "arn:aws:iam::" + s.o.Account + ":root", UserID: s.o.Account, AccessKeyID: accessKey}, true
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	found, ok := s.sessions[accessKey]
	if !ok {
		return "", "", wire.Caller{}, false
	}
	if !found.ends.IsZero() && s.o.Clock.Now().After(found.ends) {
		return "", "", wire.Caller{Expired: true}, false
	}
	return found.secret, found.token, found.caller, true
}

// AssumeRoleAs gives a service of AWS ("lambda.amazonaws.com") credentials of a
// role that trusts it, on behalf of the resource sourceARN (aws:SourceArn to the
// role's trust policy). They last as long as the cloud runs; the same role and
// session name get the same credentials.
func (s *IAM) AssumeRoleAs(service, sourceARN, roleARN, sessionName string) (accessKey, secretKey, token string, err error) {
	c, ok := s.byARN(roleARN)
	conditions := s.conditions(wire.Caller{Account: s.o.Account})
	if sourceARN != "" {
		conditions["aws:sourcearn"] = []string{sourceARN}
	}
	if !ok || !c.trust.Trusts("Service", []string{service}, Request{Action: "sts:AssumeRole", Conditions: conditions}) {
		return "", "", "", s.mayNotAssume(service, roleARN)
	}
	sessionName = sessionNameOf(sessionName)
	s.mu.Lock()
	defer s.mu.Unlock()
	key := roleARN + "\n" + sessionName
	accessKey, ok = s.standing[key]
	if !ok {
		accessKey = s.open(c, sessionName, time.Time{})
		s.standing[key] = accessKey
	}
	found := s.sessions[accessKey]
	return accessKey, found.secret, found.token, nil
}

func (s *IAM) mayNotAssume(who, roleARN string) error {
	s.o.Log.Warn("access denied", "caller", who, "action", "sts:AssumeRole", "resource", roleARN)
	return &wire.Error{Code: "AccessDenied", Status: http.StatusForbidden,
		Message: fmt.Sprintf("User: %s is not authorized to perform: sts:AssumeRole on resource: %s", who, roleARN)}
}

// sessionNameOf makes any text a role session name.
func sessionNameOf(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < 128 && (strings.ContainsRune("+=,.@_-", r) || isAlphanumeric(r)) {
			return r
		}
		return '-'
	}, name)
	if len(name) < 2 {
		name += "-session"
	}
	return name[:min(64, len(name))]
}

func isAlphanumeric(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// open makes a session; s.mu is held.
func (s *IAM) open(c *compiled, sessionName string, ends time.Time) string {
	now := s.o.Clock.Now()
	for key, old := range s.sessions {
		if !old.ends.IsZero() && now.After(old.ends) {
			delete(s.sessions, key)
		}
	}
	accessKey := "ASIA" + randomID(16)
	s.sessions[accessKey] = session{secret: randomID(40), token: randomID(120), ends: ends, caller: wire.Caller{
		Account: s.o.Account, AccessKeyID: accessKey, RoleARN: s.roleARN(c.role), UserID: c.ID + ":" + sessionName,
		ARN: "arn:aws:sts::" + s.o.Account + ":assumed-role/" + c.Name + "/" + sessionName}}
	return accessKey
}

// conditions are the keys that hold for every call of a caller.
func (s *IAM) conditions(c wire.Caller) map[string][]string {
	now := s.o.Clock.Now().UTC()
	out := map[string][]string{
		"aws:currenttime":      {now.Format(time.RFC3339)},
		"aws:epochtime":        {fmt.Sprint(now.Unix())},
		"aws:securetransport":  {"true"}, // nothing leaves this machine
		"aws:requestedregion":  {s.o.Region},
		"aws:principalaccount": {c.Account},
		"aws:sourceaccount":    {c.Account},
		"aws:resourceaccount":  {s.o.Account}, // nothing here is another account's
		"s3:resourceaccount":   {s.o.Account},
	}
	if c.UserID != "" {
		out["aws:userid"] = []string{c.UserID}
	}
	switch {
	case c.RoleARN != "":
		out["aws:principalarn"], out["aws:principaltype"] = []string{c.RoleARN}, []string{"AssumedRole"}
	case c.ARN != "":
		out["aws:principalarn"], out["aws:principaltype"] = []string{c.ARN}, []string{"Account"}
	}
	return out
}

// Evaluate decides by a caller's role: whether its policies allow the action on
// the resource, and whether one denies it. The account's owner and AWS's own
// services are allowed; nobody is not.
func (s *IAM) Evaluate(c wire.Caller, action, resource string, conditions map[string][]string) (allowed, denied bool) {
	if c.RoleARN == "" {
		return c.Root() || c.Service != "", false
	}
	found, ok := s.byARN(c.RoleARN)
	if !ok {
		return false, false
	}
	r := Request{Action: action, Resource: resource, Conditions: s.conditions(c)}
	for key, values := range conditions {
		r.Conditions[strings.ToLower(key)] = values
	}
	if action == "iam:PassRole" {
		s.passedTo(r)
	}
	for _, p := range found.policies {
		a, d := p.Evaluate(r)
		if d {
			return false, true
		}
		allowed = allowed || a
	}
	return allowed, false
}

// passedTo fills in to whom a role is passed: it can only be passed to who may assume it.
func (s *IAM) passedTo(r Request) {
	if target, ok := s.byARN(r.Resource); ok {
		r.Conditions["iam:passedtoservice"] = target.trust.services()
	}
}

// Authorize is what services ask before they do something for the caller in ctx.
func (s *IAM) Authorize(ctx context.Context, action, resource string) error {
	c := wire.CallerFrom(ctx)
	allowed, denied := s.Evaluate(c, action, resource, nil)
	if allowed && !denied {
		return nil
	}
	if c == (wire.Caller{}) {
		s.o.Log.Error("a call without a caller was refused", "action", action, "resource", resource)
		return &wire.Error{Code: "MissingAuthenticationTokenException", Status: http.StatusForbidden, Message: "Missing Authentication Token"}
	}
	why := "because no identity-based policy allows the " + action + " action"
	if denied {
		why = "with an explicit deny in an identity-based policy"
	}
	s.o.Log.Warn("access denied", "caller", c.ARN, "action", action, "resource", resource, "explicit", denied)
	on := ""
	if resource != "*" {
		on = " on resource: " + resource
	}
	return &wire.Error{Code: "AccessDeniedException",
		Message: fmt.Sprintf("User: %s is not authorized to perform: %s%s %s", c.ARN, action, on, why)}
}
