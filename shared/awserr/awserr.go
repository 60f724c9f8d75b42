// Package awserr tells AWS's errors apart by code, in one place. All functions
// look through wrapped errors.
package awserr

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

func has(err error, codes ...string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && slices.Contains(codes, api.ErrorCode())
}

func says(err error, code string, texts ...string) bool {
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		return false
	}
	return slices.ContainsFunc(texts, func(t string) bool {
		return strings.Contains(strings.ToLower(api.ErrorMessage()), t)
	})
}

func status(err error, code int) bool {
	var re *smithyhttp.ResponseError
	return errors.As(err, &re) && re.HTTPStatusCode() == code
}

// IsNotFound: the thing does not exist. SageMaker says so for models, packages
// and endpoints only in the text of a ValidationException.
func IsNotFound(err error) bool {
	return has(err, "NoSuchKey", "NotFound", "NoSuchBucket", "NoSuchVersion", "ResourceNotFound", "ResourceNotFoundException",
		"ExecutionDoesNotExist", "StateMachineDoesNotExist", "AWS.SimpleQueueService.NonExistentQueue") ||
		says(err, "ValidationException", "could not find", "does not exist", "cannot find", "resource not found")
}

// IsExists: the name is taken.
func IsExists(err error) bool {
	return has(err, "ResourceInUse", "ResourceInUseException", "ConflictException", "ExecutionAlreadyExists", "ResourceAlreadyExistsException") ||
		says(err, "ValidationException", "already exist", "must be unique")
}

// IsConflict: a conditional write lost (S3's 412, or 409 while another write is
// under way).
func IsConflict(err error) bool {
	return has(err, "PreconditionFailed", "ConditionalRequestConflict") || status(err, 412) || status(err, 409)
}

// IsTokenGone: a task token was answered before, or its wait is over. AWS says
// the same for both, so to whoever answers it is benign.
func IsTokenGone(err error) bool { return has(err, "TaskTimedOut", "TaskDoesNotExist", "InvalidToken") }

// IsTransient: trying again later may help.
func IsTransient(err error) bool {
	if has(err, "ThrottlingException", "Throttling", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown",
		"ServiceUnavailable", "ServiceUnavailableException", "InternalFailure", "InternalError", "InternalServerError", "InternalServerException",
		"RequestTimeout", "ResourceLimitExceeded") {
		return true
	}
	var re *smithyhttp.ResponseError
	if errors.As(err, &re) && re.HTTPStatusCode() >= 500 {
		return true
	}
	var ne net.Error
	return errors.As(err, &ne) || errors.Is(err, context.DeadlineExceeded)
}

// IgnoreNotFound is err unless it IsNotFound.
func IgnoreNotFound(err error) error {
	if IsNotFound(err) {
		return nil
	}
	return err
}
