package runs

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/millrace-ml/millrace/shared/jobs"
	"github.com/millrace-ml/millrace/statemachine"
)

// checkModel turns a training job that completed without a model into a
// failure: SageMaker archives an empty folder without complaint, and the next
// run of the same recipe would use that result again.
func (s *Steps) checkModel(ctx context.Context, job string, o *jobs.Outcome) error {
	key, ours := s.Ledger.Key(o.Model)
	if o.Failure != nil || o.Model == "" || !ours {
		return nil
	}
	body, found, err := s.Ledger.Open(ctx, key)
	if err != nil {
		return err
	}
	why := "there is no " + o.Model
	if found {
		defer body.Close()
		has, err := hasFile(body)
		switch {
		case broken(err):
			why = fmt.Sprintf("%s is broken: %v", o.Model, err)
		case err != nil:
			return err
		case has:
			return nil
		default:
			why = "there is no file in " + o.Model
		}
	}
	o.Failure = statemachine.Failf(statemachine.ErrNoModel, "training job %s completed but wrote no model: %s", job, why)
	return nil
}

// broken tells an archive that is none from one that could not be read.
func broken(err error) bool {
	return errors.Is(err, gzip.ErrHeader) || errors.Is(err, gzip.ErrChecksum) || errors.Is(err, tar.ErrHeader) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// hasFile tells whether a tar.gz has a file: it reads no further than to the first.
func hasFile(r io.Reader) (bool, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return false, fmt.Errorf("read gzip: %w", err)
	}
	t := tar.NewReader(z)
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("read archive: %w", err)
		}
		if h.Typeflag == tar.TypeReg {
			return true, nil
		}
	}
}
