package asl_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/millrace-ml/millrace/localcloud/asl"
)

// counting is a loop of a Pass and a Choice state, n times: 2n+1 transitions.
func counting(n int) object {
	return object{"StartAt": "Add", "States": object{
		"Add":  object{"Type": "Pass", "Parameters": object{"n.$": "States.MathAdd($.n, 1)"}, "Next": "More"},
		"More": object{"Type": "Choice", "Choices": []any{object{"Variable": "$.n", "NumericLessThan": n, "Next": "Add"}}, "Default": "Done"},
		"Done": object{"Type": "Succeed"},
	}}
}

// BenchmarkTransitions runs Pass and Choice states in process, with the whole
// history kept.
func BenchmarkTransitions(b *testing.B) {
	const n = 6000
	definition, err := json.Marshal(counting(n))
	if err != nil {
		b.Fatal(err)
	}
	m, err := asl.Parse(definition)
	if err != nil {
		b.Fatal(err)
	}
	transitions := 0
	for b.Loop() {
		x, err := asl.NewExecution(m, info(), `{"n":0}`, sources())
		if err != nil {
			b.Fatal(err)
		}
		var events []asl.Event
		x.Begin(start)
		for {
			events = append(events, x.Take().Events...)
			if x.Status() != asl.Running {
				break
			}
			x.Due(start)
		}
		if x.Status() != asl.Succeeded || len(events) != 2+2*(2*n+1) {
			b.Fatalf("ended %s with %d events", x.Status(), len(events))
		}
		transitions += 2*n + 1
	}
	b.ReportMetric(float64(transitions)/b.Elapsed().Seconds(), "transitions/s")
}

// BenchmarkPeers runs the same loop in the peers of TestDifferential, where
// they are found. An execution is one iteration; the peers time themselves.
func BenchmarkPeers(b *testing.B) {
	for _, peer := range []struct {
		name, found string
		n           int
		command     []string
		env         string
	}{
		{"aws-local-stepfunctions", "MILLRACE_ASL_PEER", 6000, []string{"node", "testdata/peer.mjs"}, "PEER=" + os.Getenv("MILLRACE_ASL_PEER")},
		{"moto", "MILLRACE_ASL_MOTO", 500, []string{os.Getenv("MILLRACE_ASL_MOTO"), "testdata/peer_moto.py"}, "A=B"},
		{"moto with paths cached", "MILLRACE_ASL_MOTO", 500, []string{os.Getenv("MILLRACE_ASL_MOTO"), "testdata/peer_moto.py"}, "CACHE_PATHS=1"},
	} {
		b.Run(peer.name, func(b *testing.B) {
			if os.Getenv(peer.found) == "" {
				b.Skipf("%s does not say where it is", peer.found)
			}
			line, err := json.Marshal(object{"bench": true, "definition": counting(peer.n), "input": object{"n": 0}})
			if err != nil {
				b.Fatal(err)
			}
			transitions, seconds := 0, 0.0
			for b.Loop() {
				cmd := exec.Command(peer.command[0], peer.command[1:]...) //nolint:gosec // one of those above
				cmd.Env, cmd.Stdin = append(os.Environ(), peer.env), bytes.NewReader(append(line, '\n'))
				out, err := cmd.Output()
				if err != nil {
					b.Fatal(err)
				}
				var answer struct {
					Seconds float64
					Status  string
				}
				if err := json.Unmarshal(out, &answer); err != nil || answer.Seconds == 0 || answer.Status != "" && answer.Status != "SUCCEEDED" {
					b.Fatal(fmt.Errorf("%s answered %s: %w", peer.name, out, err))
				}
				transitions += 2*peer.n + 1
				seconds += answer.Seconds
			}
			b.ReportMetric(float64(transitions)/seconds, "transitions/s")
		})
	}
}
