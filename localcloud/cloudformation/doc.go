// Package cloudformation is AWS CloudFormation in the local cloud: it deploys a
// synthesized template by the operations of the other services, so that what a
// template does not create or grant is not there locally either.
//
// A template is judged as a whole before anything is created: every unknown
// resource type, property, attribute, reference or function is refused at once,
// by name. Nothing is dropped silently: a property that has no effect here
// (bucket encryption, tracing) is listed in the resource's event and in the log.
//
// Stacks are created, updated in place or by replacement, rolled back and
// deleted as on AWS, one resource at a time in dependency order, in the
// background and with AWS's statuses and events. State is in the store: an
// operation that a stop interrupted is rolled back, or finished, by Resume.
//
// Values come from parameters, other stacks' exports and the parameter store
// ({{resolve:ssm:NAME}}). A changed value of the parameter store is taken up by the
// next update, also by one that changes nothing else of the resource.
//
// Not here: nested stacks, imports by identifier, macros, drift, stack sets,
// stack policies, custom resources, and resource types that neither a pipeline
// nor the CDK's bootstrap stack uses. One under a condition that is false may
// stand in a template. With ImportExistingResources, buckets and model package
// groups that a template retains become the stack's; what else is there is not.
package cloudformation
