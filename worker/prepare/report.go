package prepare

import (
	"encoding/json"
	"fmt"

	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/quality"
)

// writeReport writes quality/report.json and its page.
func writeReport(base job.Base, r *quality.Report) error {
	raw, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("encode quality report: %w", err)
	}
	return writeFile(base, append(raw, '\n'), "quality", "report.json")
}
