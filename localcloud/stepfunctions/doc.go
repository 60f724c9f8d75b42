// Package stepfunctions is the local cloud's AWS Step Functions: standard
// workflows over localcloud/asl, with their executions, histories and task
// tokens kept in the state store, and taken up again when the cloud starts.
//
// Supported task resources: Lambda functions by ARN, lambda:invoke,
// events:putEvents, sqs:sendMessage, sns:publish and states:startExecution (each
// also with .waitForTaskToken), sagemaker:create* and update* as request and
// response, and aws-sdk:<service>:<action> for the services that the local cloud
// has. The SageMaker jobs offer .sync, executions .sync and .sync:2: the task
// awaits the end of what it began. Calls are made as the state machine's role.
//
// Everything else is refused when the state machine is created: activities,
// Express workflows, customer keys, logging to CloudWatch, and what package asl
// refuses.
//
// What AWS leaves open is decided like this. A job is also stopped when its task
// times out, where AWS names only aborted tasks. A redriven execution writes no
// second StateEntered event for the state it goes on in.
package stepfunctions
