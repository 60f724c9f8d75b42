// Package asl interprets the Amazon States Language with the JSONPath query
// language, as AWS Step Functions' standard workflows do. The history is the
// product: every event has AWS's type, details, id and link to its predecessor,
// and errors have AWS's names and words.
//
// Parse reads a definition and reports all its problems at once. What this
// package does not support (JSONata, distributed Map, activities, calls with
// another role) and what nobody knows is a problem that names state and field;
// nothing is ignored.
//
// Execution is one run as plain data: it is fed the time and the outcomes of
// calls, and produces events, calls to make and the time at which to look at it
// again. It starts no goroutine. Engine gives executions a clock, a TaskRunner
// and a place to be kept. All numbers keep their text from input to output.
//
// # What survives a restart
//
// An execution is kept whenever it waits or ends: its events since the last
// time, and a snapshot of all its threads (a thread is the execution itself, a
// branch or an iteration), each with its state, input, variables, retry counts,
// and what it waits for. Calls go out only after that was kept. So after a
// restart, Engine.Resume goes on from there:
//
//   - A Wait state, and the pause before a retry, ends at the time it would have
//     ended; at once when that has passed.
//   - A task waiting for its token waits on under the same token, with the same
//     deadlines. If the process died between keeping the token and hearing that
//     the request was accepted, the request is made once more with that token.
//   - Any other call that was in flight is made once more: at least once, where
//     AWS says exactly once. Its events are not written twice.
//   - Parallel branches and Map iterations go on each from their own place;
//     those that had ended are not run again.
package asl
