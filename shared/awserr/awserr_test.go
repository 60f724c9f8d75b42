package awserr_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/aws/smithy-go"

	"github.com/millrace-ml/millrace/shared/awserr"
)

func TestClassification(t *testing.T) {
	api := func(code, message string) error {
		return fmt.Errorf("describe thing: %w", &smithy.GenericAPIError{Code: code, Message: message})
	}
	tests := map[string]struct {
		err                                              error
		notFound, exists, conflict, tokenGone, transient bool
	}{
		"no such key":                   {err: api("NoSuchKey", ""), notFound: true},
		"sagemaker model not found":     {err: api("ValidationException", "Could not find model \"arn:…\"."), notFound: true},
		"training job not found":        {err: api("ValidationException", "Requested resource not found."), notFound: true},
		"another validation error":      {err: api("ValidationException", "instance type is invalid")},
		"job name taken":                {err: api("ResourceInUse", ""), exists: true},
		"model name taken":              {err: api("ValidationException", "Cannot create already existing model"), exists: true},
		"conditional write lost":        {err: api("PreconditionFailed", ""), conflict: true},
		"token answered before":         {err: api("TaskTimedOut", ""), tokenGone: true},
		"throttled":                     {err: api("ThrottlingException", "Rate exceeded"), transient: true},
		"deadline":                      {err: fmt.Errorf("x: %w", context.DeadlineExceeded), transient: true},
		"an error that is not from AWS": {err: errors.New("boom")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := [5]bool{awserr.IsNotFound(tt.err), awserr.IsExists(tt.err), awserr.IsConflict(tt.err), awserr.IsTokenGone(tt.err), awserr.IsTransient(tt.err)}
			want := [5]bool{tt.notFound, tt.exists, tt.conflict, tt.tokenGone, tt.transient}
			if got != want {
				t.Errorf("not found, exists, conflict, token gone, transient: got %v, want %v", got, want)
			}
		})
	}
	if err := awserr.IgnoreNotFound(api("NoSuchKey", "")); err != nil {
		t.Errorf("IgnoreNotFound(NoSuchKey) = %v, want nil", err)
	}
}
