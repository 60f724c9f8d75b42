// Package stepfunctions is the local cloud's AWS Step Functions: standard
// workflows over localcloud/asl, with their executions, histories and task
// tokens kept in the state store, and taken up again when the cloud starts.
//
// Supported task resources: Lambda functions by ARN, lambda:invoke,
// events:putEvents, sqs:sendMessage and sns:publish (each also with
// .waitForTaskToken), sagemaker:create* and update* as request and response, and
// aws-sdk:<service>:<action> for the services that the local cloud has. Calls
// are made as the state machine's role. Everything else is refused when the
// state machine is created: .sync, activities, Express workflows, versions,
// aliases, customer keys, logging to CloudWatch.
//
// Not supported yet: RedriveExecution, TestState, map runs.
package stepfunctions
