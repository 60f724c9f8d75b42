package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// flightRows makes n flights of a month (1 to 12 of 2001) with a header line:
// flight_id, departed_at, origin, destination, distance, arrival_delay. They are
// the same for the same arguments. Evenings and Chicago are late, so that there
// is something to learn.
func flightRows(n, month int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), uint64(month)))
	origins := []string{"ATL", "DFW", "EWR", "LAX", "ORD"}
	destinations := []string{"BOS", "DEN", "JFK", "MIA", "PHX", "SEA", "SFO"}
	begin := time.Date(2001, time.Month(month), 1, 0, 0, 0, 0, time.UTC)
	step := 28 * 24 * time.Hour / time.Duration(n)
	var b bytes.Buffer
	b.WriteString("flight_id,departed_at,origin,destination,distance,arrival_delay\n")
	for i := range n {
		at := begin.Add(time.Duration(i) * step)
		from, to := origins[r.IntN(len(origins))], destinations[r.IntN(len(destinations))]
		delay := r.IntN(50) - 30
		if at.Hour() >= 16 {
			delay += 15
		}
		if from == "ORD" {
			delay += 15
		}
		fmt.Fprintf(&b, "2001%02d-%06d,%s,%s,%s,%d,%d\n", month, i+1, at.Format(time.DateTime), from, to, 200+r.IntN(2500), delay)
	}
	return b.Bytes()
}

func gzipped(t *testing.T, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
