// Package iam is the local cloud's IAM and STS: roles with their trust and
// permission policies, the credentials of sessions, and the evaluator that
// decides every call of a role.
//
// It holds what deployed stacks use: roles, inline policies and the managed
// policies it knows by name. Users, groups, boundaries, policy variables and
// condition operators that it cannot evaluate are refused when they are put, so
// that no policy is ever half understood.
package iam
