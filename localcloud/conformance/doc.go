// Package conformance holds the behaviours of AWS that the local cloud keeps,
// each with an id, a sentence and the place where AWS says so, and each tried
// through the real SDK. All of it is in the tests:
//
//	go test ./localcloud/conformance                                 against a local cloud in this process
//	go test ./localcloud/conformance -run 'Conformance/s3[.]put'     some of it
//	go test ./localcloud/conformance -v -run Conformance -account ID             against that account
//	                                 … -role ARN -image URI -spend               and what needs a role or an image, or costs money
//
// For an account the AWS settings are the usual ones (AWS_PROFILE, AWS_REGION, …),
// and nothing is tried if they belong to another one than ID. Every name that it
// makes begins with millrace-conformance-, and everything is deleted at the end of
// its case, but for jobs, which SageMaker keeps. The role is one that Lambda, Step
// Functions, SageMaker and EventBridge may assume, the image one that does what
// program in program_test.go does. The function's code is this test binary: build
// it for linux/amd64 with CGO_ENABLED=0. TestAccount goes this way with a local
// cloud for the account.
//
// docs/conformance.md lists the behaviours; it is made from them.
package conformance
