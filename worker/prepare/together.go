package prepare

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/millrace-ml/millrace/shared/drift"
	"github.com/millrace-ml/millrace/worker/quality"
)

// statisticsFile describes all rows of the uploads, beside the quality report: what
// the next dataset is compared with.
const statisticsFile = "statistics.json"

// together holds the checks on all rows together, and compares them with the
// dataset of the version in service.
func (r *rows) together() error {
	now := drift.Statistics{Dataset: drift.Dataset{ItemCount: int64(r.report.Rows)}, Features: []drift.FeatureStatistics{}}
	for _, p := range r.profiles {
		switch {
		case p.Name == r.def.Data.Key || p.Name == r.def.Data.Time: // always others
		case p.Text != nil:
			now.Features = append(now.Features, p.Text.Statistics(p.Name))
		default:
			now.Features = append(now.Features, p.Numeric.Statistics(p.Name))
		}
	}
	raw, err := drift.Marshal(now)
	if err != nil {
		return fmt.Errorf("write statistics of the dataset: %w", err)
	}
	if err := writeFile(r.base, raw, "quality", statisticsFile); err != nil {
		return err
	}
	t := quality.Together{Rows: r.report.Rows, Newest: math.Inf(-1)}
	for _, c := range r.checked {
		t.Newest = max(t.Newest, c.Newest)
	}
	if r.file.Asked != nil {
		t.Asked = *r.file.Asked
	}
	if last := r.file.Last; last != nil {
		before, err := os.ReadFile(filepath.Join(r.base.Input("last"), statisticsFile))
		if err != nil && !errors.Is(err, os.ErrNotExist) { // an older version did not write it
			return fmt.Errorf("read statistics of version %d: %w", last.Version, err)
		}
		if err == nil {
			s, err := drift.Read(before)
			if err != nil {
				return fmt.Errorf("version %d: %w", last.Version, err)
			}
			r.report.Drift = quality.NewDrift(last.Version, last.Run, s, now, r.def.Quality)
			t.Drift = r.report.Drift
		}
	}
	r.report.Findings = append(r.report.Findings, quality.CheckTogether(t, r.def.Quality)...)
	return nil
}

// flat finds columns that features read and that say nothing: without a value, or
// with one value in all rows.
func (r *rows) flat() {
	if r.program == nil || r.report.Rows == 0 {
		return
	}
	read := r.program.Columns()
	for _, p := range r.profiles {
		if !slices.Contains(read, p.Name) {
			continue
		}
		switch s := p.Summary(); {
		case s.Present == 0:
			r.stop("missing", p.Name, fmt.Sprintf("there is no value in any of %d rows, and features read the column (hint: leave them out, or upload it)", r.report.Rows))
		case s.Missing > 0:
		case s.Min != nil && *s.Min == *s.Max, s.Distinct != nil && *s.Distinct == 1:
			r.warn("constant", p.Name, "the value is the same in all rows, so nothing can be learned from it")
		}
	}
}
