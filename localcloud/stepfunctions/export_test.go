package stepfunctions

// IsTime lets the test hold the rule against the SDK's types.
var IsTime = isTime
