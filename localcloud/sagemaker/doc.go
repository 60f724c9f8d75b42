// Package sagemaker is the local cloud's SageMaker: processing, training and
// transform jobs that really run, as plain processes under the /opt/ml
// contract of SageMaker's containers; models; and the model registry with its
// approvals. State changes are emitted as EventBridge events with AWS's
// oddities (epoch milliseconds in jobs, ISO times in packages, lower-cased
// ARNs, upper-case enums, repeated events).
//
// Scope: what a pipeline of one instance per job needs. Inputs are checked
// against AWS's own service model (package constraint); a member that is valid
// on AWS but would change what happens here (checkpoints, VPCs, several
// instances, Pipe mode, ...) is refused by name, never ignored.
//
// Not here: endpoints, feature groups, experiments, tuning, Pipelines.
package sagemaker
