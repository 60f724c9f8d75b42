package ledger

import (
	"context"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/millrace-ml/millrace/shared/awserr"
)

// Open reads an object of the ledger's bucket as it is; found is false when
// there is none.
func (l *Ledger) Open(ctx context.Context, key string) (body io.ReadCloser, found bool, err error) {
	out, err := l.s3.GetObject(ctx, &s3.GetObjectInput{Bucket: &l.bucket, Key: &key})
	if awserr.IsNotFound(err) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("open ledger %s: %w", key, err)
	}
	return out.Body, true, nil
}
