package localcloud

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/millrace-ml/millrace/localcloud/clock"
)

// ClockPath tells the cloud's time, and moves a virtual clock. It needs no
// signature.
//
//	GET                       how the clock stands: clockState
//	POST {"advance": "36h"}   goes on by so much, and answers when all that follows is done
//	POST {"advance": "7d"}
//	POST {"to": "2027-01-31T00:00:00Z"}
//	POST {"stop": true}       does not jump by itself any more; false: jumps again
const ClockPath = "/_millrace/clock"

// clockState is the answer: of clocks that are not virtual only the first two.
type clockState struct {
	Clock string    `json:"clock"` // real, scaled or virtual
	Now   time.Time `json:"now"`
	*clock.State
}

// clockRequest is the body of a POST: one of its members.
type clockRequest struct {
	Advance string    `json:"advance"`
	To      time.Time `json:"to"`
	Stop    *bool     `json:"stop"`
}

// ParseAdvance reads how much time a clock is to go on by: days, as in 7d, or
// Go's durations, as in 1h30m.
func ParseAdvance(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if n, ok := strings.CutSuffix(text, "d"); ok {
		var days uint64
		if days, err = strconv.ParseUint(n, 10, 16); err == nil {
			d = time.Duration(days) * 24 * time.Hour
		}
	}
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q is not a time to go on by, as 7d, 36h or 90s are", text)
	}
	return d, nil
}

func (c *Cloud) serveClock(w http.ResponseWriter, r *http.Request) {
	if !loopbackHost(r.RemoteAddr) {
		http.Error(w, "The clock is told and moved from this machine only, not from "+r.RemoteAddr, http.StatusForbidden)
		return
	}
	switch r.Method {
	case http.MethodGet:
	case http.MethodPost:
		if status, err := c.moveClock(r); err != nil {
			answerClock(w, status, map[string]string{"error": err.Error()})
			return
		}
	default:
		w.Header().Set("Allow", "GET, POST")
		answerClock(w, http.StatusMethodNotAllowed, map[string]string{"error": "GET tells the time, POST moves it"})
		return
	}
	state := clockState{Clock: "real", Now: c.o.Clock.Now()}
	switch k := c.o.Clock.(type) {
	case *clock.Virtual:
		s := k.State()
		state = clockState{Clock: "virtual", Now: s.Now, State: &s}
	case *clock.Scaled:
		state.Clock = "scaled"
	}
	answerClock(w, http.StatusOK, state)
}

func (c *Cloud) moveClock(r *http.Request) (status int, err error) {
	// A page in a browser cannot send JSON to another origin unasked.
	if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
		return http.StatusUnsupportedMediaType, errors.New("the body must be JSON, with Content-Type: application/json")
	}
	v, ok := c.o.Clock.(*clock.Virtual)
	if !ok {
		return http.StatusConflict, errors.New("only a virtual clock can be moved (millrace up --clock virtual)")
	}
	var in clockRequest
	body := json.NewDecoder(http.MaxBytesReader(nil, r.Body, 1<<10))
	body.DisallowUnknownFields()
	if err := body.Decode(&in); err != nil {
		return http.StatusBadRequest, fmt.Errorf("read request: %w", err)
	}
	to := in.To
	switch {
	case in.Advance != "" && in.To.IsZero() && in.Stop == nil:
		d, err := ParseAdvance(in.Advance)
		if err != nil {
			return http.StatusBadRequest, err
		}
		to = v.Now().Add(d)
	case in.Advance == "" && !in.To.IsZero() && in.Stop == nil:
		if now := v.Now(); to.Before(now) {
			return http.StatusBadRequest, fmt.Errorf("it is %s already, and time does not go back", now.Format(time.RFC3339))
		}
	case in.Advance == "" && in.To.IsZero() && in.Stop != nil:
		if *in.Stop {
			v.Stop()
		} else {
			v.Go()
		}
		return http.StatusOK, nil
	default:
		return http.StatusBadRequest, errors.New("one of advance, to and stop is needed")
	}
	if err := v.Advance(r.Context(), to); err != nil {
		return http.StatusConflict, err
	}
	return http.StatusOK, nil
}

func answerClock(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // who asked may have gone
}
