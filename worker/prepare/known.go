package prepare

import (
	"fmt"

	"github.com/millrace-ml/millrace/shared/drift"
	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/report"
)

// emptier is by how much a column's share of missing values must have grown.
const emptier = 0.5

// checkKnown tells of columns that the rows learned from had and rows to be scored
// have not: what is filled in later was known in training alone. It needs the
// statistics of the rows learned from, and looks at nothing when the job was not
// given them.
func (u *upload) checkKnown(base job.Base) error {
	s, err := job.InputJSON[drift.Statistics](base, "baseline", "statistics.json", "baseline")
	if err != nil || s == nil {
		return err
	}
	then := map[string]float64{}
	for _, f := range s.Features {
		then[f.Name] = f.MissingShare()
	}
	for _, c := range u.report.Columns {
		before, ok := then[c.Name]
		rows := c.Present + c.Missing
		if now := float64(c.Missing) / float64(max(1, rows)); ok && rows > 0 && now-before >= emptier {
			u.warn("known", c.Name, fmt.Sprintf("%s of the values are missing, and %s were in the rows that the model learned from: was it known then only because it is filled in later? (hint: name it in data.known_after)",
				report.Percent(now), report.Percent(before)))
		}
	}
	return nil
}
