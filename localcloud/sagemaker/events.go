package sagemaker

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// detail is an event's detail; AWS's member names, which are not always the API's.
type detail map[string]any

// emit puts an event of SageMaker onto the default bus.
func (s *SageMaker) emit(detailType, arn string, d detail) {
	ctx := wire.WithCaller(context.Background(), wire.Caller{Account: s.opt.Account, Service: "sagemaker.amazonaws.com", ARN: "sagemaker.amazonaws.com"})
	s.opt.Emit(ctx, "aws.sagemaker", "SageMaker "+detailType+" State Change", []string{arn}, d)
}

// millis is a time as job events have it: epoch milliseconds, or null.
func millis(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UnixMilli()
}

// iso is a time as package events have it.
func iso(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// shape is an SDK value as the API shows it.
func shape(v any) any {
	raw, err := wire.EncodeJSON(v, false)
	if err != nil {
		return nil
	}
	return json.RawMessage(raw)
}

// setIf adds a member that is left out when it has no value.
func (d detail) setIf(name string, value *string) {
	if v := aws.ToString(value); v != "" {
		d[name] = v
	}
}

// shout spells an enum as processing events do: S3Prefix → S3_PREFIX, FullyReplicated → FULLYREPLICATED.
func shout(enum string) string {
	switch enum {
	case "S3Prefix":
		return "S3_PREFIX"
	case "ManifestFile":
		return "MANIFEST_FILE"
	case "EndOfJob":
		return "END_OF_JOB"
	}
	return strings.ToUpper(enum)
}

// tagMap is a resource's tags as events have them: an object.
func (s *SageMaker) tagMap(arn string) map[string]string {
	tags, _, err := s.tags.Get(arn)
	if err != nil || tags == nil {
		return map[string]string{}
	}
	return tags
}
