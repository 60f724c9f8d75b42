// Package conformance holds the behaviours of AWS that the local cloud keeps,
// each with an id, a sentence and the place where AWS says so, and each tried
// through the real SDK. All of it is in the tests:
//
//	go test ./localcloud/conformance                                     against a local cloud in this process
//	go test ./localcloud/conformance -run 'Conformance/s3[.]put'         some of it
//	go test ./localcloud/conformance -account -region eu-west-1          against the account of the usual AWS settings
//	go test ./localcloud/conformance -account -role ARN -image URI -spend and what needs a role, or costs money
//
// Against an account every name that it makes begins with
// millrace-conformance-, and everything is deleted at the end of its case.
// docs/conformance.md lists the behaviours; it is made from them.
package conformance
