package runs

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"html/template"

	"github.com/millrace-ml/millrace/events"
	"github.com/millrace-ml/millrace/shared/ledger"
	"github.com/millrace-ml/millrace/statemachine"
)

//go:embed endpage.html
var endPageText string

var endPage = template.Must(template.New("end").Parse(endPageText))

// EndPage is the page of a run that ended: what ran, what failed and why, and
// what to do next. It is one file of HTML that needs nothing else. The zero
// manifest stands for a run that ended before it had one; steps are those that
// began, in their order.
func EndPage(end ledger.End, m ledger.Run, steps []ledger.Step) ([]byte, error) {
	p := endView{Name: fmt.Sprintf("%s/%d", end.Pipeline, end.Run), Kind: m.Kind, Why: m.Why, Tone: "bad", Headline: "Failed: " + end.Error, Cause: end.Cause}
	if end.Stopped.Unix() > 0 {
		p.Stopped = "ended " + end.Stopped.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	if end.Error == "" {
		p.Tone, p.Headline, p.Cause = "good", "Completed", ended(m, steps)
	}
	for _, s := range steps {
		p.Steps = append(p.Steps, stepView{s.Step, s.Job, stepResult(s)})
	}
	for _, c := range m.Causes {
		if c.Key != "" {
			p.Files = append(p.Files, fileView{Key: c.Key})
		}
	}
	for _, f := range m.Left {
		p.Files = append(p.Files, fileView{f.Key, fmt.Sprintf("left out, since run %d refused it: %s", f.Run, f.Why)})
	}
	p.Next = next(end, m, steps)
	var b bytes.Buffer
	if err := endPage.Execute(&b, p); err != nil {
		return nil, fmt.Errorf("write the page of run %s: %w", p.Name, err)
	}
	return b.Bytes(), nil
}

type endView struct {
	Name, Kind, Why, Stopped, Tone, Headline, Cause string
	Steps                                           []stepView
	Files                                           []fileView
	Next                                            []advice
}

type stepView struct{ Step, Job, Result string }
type fileView struct{ Key, Note string }

// advice is something to do, with the command that does it.
type advice struct{ Text, Command string }

// ended says in a sentence what a run that ended well came to.
func ended(m ledger.Run, steps []ledger.Step) string {
	switch m.Kind {
	case statemachine.KindNothing, statemachine.KindNoModel:
		return m.Why
	case statemachine.KindRelease:
		return fmt.Sprintf("Version %d was put in service.", m.Version)
	}
	for _, s := range steps {
		if promote, ok := s.Facts["promote"].(bool); ok && s.Step == statemachine.StepEvaluate {
			why, _ := s.Facts["why"].(string)
			if promote {
				return "The version was put in service: " + why
			}
			return "The gate refused the model, so what is in service stays: " + why
		}
	}
	return m.Why
}

func stepResult(s ledger.Step) string {
	switch {
	case s.Status == ledger.StepFailed:
		return s.Error + ": " + s.Cause
	case s.Status != ledger.StepDone:
		return "it had not ended when the run did"
	case s.ReusedOf > 0:
		return fmt.Sprintf("done; the result of run %d was used again", s.ReusedOf)
	}
	return "done"
}

// next says what helps, by the error with which the run ended.
func next(end ledger.End, m ledger.Run, steps []ledger.Step) []advice {
	name := fmt.Sprintf("%s/%d", end.Pipeline, end.Run)
	last := ledger.Step{}
	if len(steps) > 0 {
		last = steps[len(steps)-1]
	}
	log := advice{"The jobs' logs:", "millrace logs " + name}
	if last.Step != "" {
		log = advice{"The job's log:", fmt.Sprintf("millrace logs %s --step %s", name, last.Step)}
	}
	kept := advice{Text: "Nothing is lost: the uploads are kept, and the next run takes them up."}
	switch end.Error {
	case "":
		return []advice{{"All versions, and which is in service:", "millrace models " + end.Pipeline}}
	case statemachine.ErrDataRejected:
		return []advice{{Text: "Correct the file that is named above and upload it again under the same name; a file that was refused is left out of later runs until then."},
			{"The report on the data's quality is beside this page:", last.Outputs["quality"] + "report.html"}, kept}
	case statemachine.ErrJobStopped:
		return []advice{log, {Text: fmt.Sprintf("If the job needs more time or a larger machine, raise max_runtime or instance in the pipeline's definition (%s).", section(last.Step))}, kept}
	case statemachine.ErrJobFailed, statemachine.ErrJobInterrupted, statemachine.ErrNoModel:
		return []advice{log, kept}
	case statemachine.ErrApprovalExpired, statemachine.ErrApprovalRejected:
		return []advice{{Text: "What is in service stays as it is. To release the version after all, approve it:", Command: "millrace approve " + end.Pipeline + "/VERSION"},
			{"Its number:", "millrace models " + end.Pipeline}}
	case events.ExecutionAborted:
		return []advice{{Text: "Somebody stopped the execution."}, kept}
	}
	return []advice{{"A function or a permission is at fault. What the functions logged:", "millrace logs " + logOf(m, last)}, kept}
}

// section is where a definition sets the machine of a step.
func section(step string) string {
	switch step {
	case statemachine.StepPrepareScores:
		return statemachine.StepPrepare
	case statemachine.StepScore:
		return "release"
	}
	return step
}

// logOf is the function that a run most likely failed in.
func logOf(m ledger.Run, last ledger.Step) string {
	switch {
	case m.Kind == "":
		return "snapshot"
	case last.Step == statemachine.StepEvaluate && last.Status == ledger.StepDone, m.Kind == statemachine.KindRelease:
		return "register"
	}
	return "startjob"
}

// stepOrder is the order in which steps run.
var stepOrder = []string{statemachine.StepPrepare, statemachine.StepTrain, statemachine.StepEvaluate, statemachine.StepPrepareScores, statemachine.StepScore}

// writePage puts the page of a run that ended where the report command looks.
func (s *Starter) writePage(ctx context.Context, end ledger.End, m ledger.Run) error {
	var steps []ledger.Step
	for _, name := range stepOrder {
		step, _, found, err := s.Ledger.Step(ctx, end.Pipeline, end.Run, name)
		if err != nil {
			return err
		}
		if found {
			steps = append(steps, step)
		}
	}
	page, err := EndPage(end, m, steps)
	if err != nil {
		return err
	}
	return s.Ledger.PutBytes(ctx, ledger.RunKey(end.Pipeline, end.Run, "end.html"), page, "text/html; charset=utf-8")
}
