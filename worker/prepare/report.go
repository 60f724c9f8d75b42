package prepare

import (
	"encoding/json"
	"fmt"
	"os"
	"strconv"

	"github.com/millrace-ml/millrace/worker/job"
	"github.com/millrace-ml/millrace/worker/quality"
	"github.com/millrace-ml/millrace/worker/report"
)

// writeReport writes quality/report.json and its page.
func writeReport(base job.Base, r *quality.Report) error {
	raw, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return fmt.Errorf("encode quality report: %w", err)
	}
	if err := writeFile(base, append(raw, '\n'), "quality", "report.json"); err != nil {
		return err
	}
	path, err := base.Output("quality", "report.html")
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("create quality report: %w", err)
	}
	if err := Page(r).Write(f); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("close quality report: %w", err)
	}
	return nil
}

// Page is the quality report for people.
func Page(r *quality.Report) *report.Page {
	p := &report.Page{
		Title:  fmt.Sprintf("The data of %s/%d", r.Pipeline, r.Run),
		Kicker: "Millrace data quality · " + r.Pipeline + " · run " + strconv.Itoa(r.Run) + " · " + r.Step,
		Tone:   report.Good, Headline: "Fit for use", Verdict: r.Verdict, Data: r,
	}
	stops, warnings := 0, 0
	for _, f := range r.Findings {
		if f.Severity == quality.Stop {
			stops++
		} else {
			warnings++
		}
	}
	switch {
	case stops > 0:
		p.Tone, p.Headline = report.Bad, "Rejected: nothing was trained or scored"
	case warnings > 0:
		p.Tone, p.Headline = report.Warn, "Fit for use, with warnings"
	}
	bytes := int64(0)
	for _, f := range r.Files {
		bytes += f.Bytes
	}
	p.Tiles = []report.Tile{
		{Label: "Rows", Value: report.Thousands(r.Rows)},
		{Label: "Files", Value: strconv.Itoa(len(r.Files)), Note: quality.Size(bytes)},
		{Label: "Stop the run", Value: strconv.Itoa(stops)},
		{Label: "Warnings", Value: strconv.Itoa(warnings)},
	}
	if stops > 0 {
		p.Tiles[2].Tone = report.Bad
	}
	if len(r.Findings) > 0 {
		p.Sections = append(p.Sections, report.Section{Title: "Findings", Blocks: []report.Block{quality.Notes(r)}})
	}
	if len(r.Parts) > 0 {
		p.Sections = append(p.Sections, report.Section{Title: "Parts", Blocks: []report.Block{quality.Parts(r)}})
	}
	if len(r.Columns) > 0 {
		p.Sections = append(p.Sections, quality.Sections("Columns", "", r.Columns)...)
	}
	if s, ok := r.Drift.Section(); ok {
		p.Sections = append(p.Sections, s)
	}
	p.Sections = append(p.Sections, report.Section{Title: "Files", Blocks: []report.Block{quality.Files(r)}})
	return p
}
