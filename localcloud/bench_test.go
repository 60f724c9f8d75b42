package localcloud_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/millrace-ml/millrace/localcloud"
)

// benchObjects runs f 16-way against a bucket behind the one port.
func benchObjects(b *testing.B, o localcloud.Options, f func(cl *s3.Client, i int64) error) {
	cl := s3.NewFromConfig(serve(b, o).config())
	must[*s3.CreateBucketOutput](b)(cl.CreateBucket(b.Context(), &s3.CreateBucketInput{Bucket: aws.String("bench")}))
	for i := range int64(64) {
		if err := putBench(b, cl, i); err != nil {
			b.Fatal(err)
		}
	}
	var n atomic.Int64
	b.SetParallelism(8)
	b.SetBytes(4096)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := f(cl, n.Add(1)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

var payload = bytes.Repeat([]byte("x"), 4096)

func putBench(b *testing.B, cl *s3.Client, i int64) error {
	_, err := cl.PutObject(b.Context(), &s3.PutObjectInput{Bucket: aws.String("bench"), Key: aws.String(fmt.Sprint("k", i)), Body: bytes.NewReader(payload)})
	return err
}

func BenchmarkPutObject4K(b *testing.B) {
	for name, ephemeral := range map[string]bool{"durable": false, "ephemeral": true} {
		b.Run(name, func(b *testing.B) {
			o := localcloud.Options{Ephemeral: ephemeral}
			if !ephemeral {
				o.Dir = b.TempDir()
			}
			benchObjects(b, o, func(cl *s3.Client, i int64) error { return putBench(b, cl, i) })
		})
	}
}

func BenchmarkGetObject4K(b *testing.B) {
	benchObjects(b, localcloud.Options{Ephemeral: true}, func(cl *s3.Client, i int64) error {
		out, err := cl.GetObject(b.Context(), &s3.GetObjectInput{Bucket: aws.String("bench"), Key: aws.String(fmt.Sprint("k", i%64))})
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, out.Body)
		return errors.Join(err, out.Body.Close())
	})
}
