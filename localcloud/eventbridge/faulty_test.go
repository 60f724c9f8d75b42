package eventbridge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"

	"github.com/millrace-ml/millrace/localcloud/faults"
)

// arrived gives the numbers of the events that the queue has got so far.
func (r *rig) arrived(t *testing.T, n int) string {
	t.Helper()
	var got []string
	for range n {
		body := fmt.Sprint(r.cloud.wait(t).Input["MessageBody"])
		_, number, _ := strings.Cut(body, `"n":`)
		got = append(got, strings.TrimRight(number, "}"))
	}
	if err := r.Idle(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.cloud.none(t)
	return strings.Join(got, " ")
}

// TestEventsMeetFaults: three events are put, one after the other was delivered;
// then ten seconds pass.
func TestEventsMeetFaults(t *testing.T) {
	for name, tt := range map[string]struct {
		fault  faults.Fault
		first  [3]string // what arrives at each put
		second string    // and in the ten seconds
	}{
		"another rule's":   {faults.Fault{Do: faults.Drop, Match: faults.Match{Rule: "other"}}, [3]string{"1", "2", "3"}, ""},
		"dropped":          {faults.Fault{Do: faults.Drop, Skip: 1, Count: 1, Match: faults.Match{Source: "acme", DetailType: "Made", Rule: "r"}}, [3]string{"1", "", "3"}, ""},
		"late":             {faults.Fault{Do: faults.Delay, Seconds: 9.5, Count: 1}, [3]string{"", "2", "3"}, "1"},
		"later than that":  {faults.Fault{Do: faults.Delay, Seconds: 10.5, Count: 1}, [3]string{"", "2", "3"}, ""},
		"twice":            {faults.Fault{Do: faults.Duplicate}, [3]string{"1 1", "2 2", "3 3"}, ""},
		"again later":      {faults.Fault{Do: faults.Duplicate, Seconds: 5, Skip: 1, Count: 1}, [3]string{"1", "2", "3"}, "2"},
		"behind its next":  {faults.Fault{Do: faults.Reorder, Seconds: 5, Count: 1}, [3]string{"", "2 1", "3"}, ""},
		"with none behind": {faults.Fault{Do: faults.Reorder, Seconds: 5, Skip: 2}, [3]string{"1", "2", ""}, "3"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.rule(t, types.Target{Arn: aws.String(queue)})
			tt.fault.ID, tt.fault.On = "f", faults.OnEvent
			if _, err := r.faults.Put(tt.fault); err != nil {
				t.Fatal(err)
			}
			for i, want := range tt.first {
				r.put(t, fmt.Sprintf(`{"n":%d}`, i+1))
				if got := r.arrived(t, len(strings.Fields(want))); got != want {
					t.Errorf("at event %d came %q, want %q", i+1, got, want)
				}
			}
			r.clock.advance(10 * time.Second)
			if got := r.arrived(t, len(strings.Fields(tt.second))); got != tt.second {
				t.Errorf("later came %q, want %q", got, tt.second)
			}
		})
	}
}

// TestWhatIsHeldUpSurvivesARestart: a late event is kept like any other.
func TestWhatIsHeldUpSurvivesARestart(t *testing.T) {
	r := newRig(t)
	r.rule(t, types.Target{Arn: aws.String(queue)})
	if _, err := r.faults.Add(faults.Fault{On: faults.OnEvent, Do: faults.Duplicate, Seconds: 60}); err != nil {
		t.Fatal(err)
	}
	r.put(t, `{"n":1}`)
	if got := r.arrived(t, 1); got != "1" {
		t.Errorf("came %q", got)
	}
	r.close(t)
	r.open(t, true)
	r.clock.advance(61 * time.Second)
	if got := r.arrived(t, 1); got != "1" {
		t.Errorf("after the restart came %q", got)
	}
}
