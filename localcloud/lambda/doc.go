// Package lambda is AWS Lambda in the local cloud: functions of the runtime
// provided.al2023 whose real bootstrap program runs as a process on this
// machine, through Lambda's own Runtime API.
//
// What is as on AWS: the API's shapes and refusals, the process' environment
// and role credentials, one invocation at a time per process and reuse of warm
// ones, timeouts, crashes and init errors with AWS's error types, START / END /
// REPORT log lines, resource policies for service principals, asynchronous
// invocations that survive a restart, with retries, maximum age, dead-letter
// queues and destinations.
//
// What differs, on purpose:
//   - a process runs in real time: its timeout and deadline follow the machine's
//     clock, whatever clock the cloud follows. Waits between asynchronous
//     retries follow the injected clock and are seconds, not minutes (Options.AsyncRetryWaits),
//     but as on AWS where that clock runs ahead of the machine's.
//   - memory size, ephemeral storage and X-Ray tracing are recorded and answered, not enforced.
//   - without reserved concurrency an invocation over the limit of processes waits
//     for one, where AWS's much larger account limit would throttle.
//   - versions, aliases, layers, container images and VPCs are refused.
package lambda
