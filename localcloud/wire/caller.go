package wire

import "context"

// Caller says who makes a call. The zero Caller is nobody.
type Caller struct {
	Account     string // 12 digits
	ARN         string // arn:aws:iam::…:root, arn:aws:sts::…:assumed-role/R/S, or a service principal
	UserID      string
	AccessKeyID string
	RoleARN     string // set when an IAM role was assumed: its policies decide
	Service     string // set when the cloud itself calls, e.g. events.amazonaws.com
	Expired     bool   // of an access key that was the caller's, and is no more
}

// Root reports whether the caller is the account's owner, who may do everything.
func (c Caller) Root() bool { return c.RoleARN == "" && c.Service == "" && c.ARN != "" }

type callerKey struct{}

// WithCaller puts the caller into the context of a call.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

// CallerFrom tells who makes the call.
func CallerFrom(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
