package localcloud_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
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

// pattern is size bytes that do not repeat soon, made as they are read.
type pattern struct{ size, at int64 }

func (p *pattern) Read(b []byte) (int, error) {
	if p.at == p.size {
		return 0, io.EOF
	}
	n := copy(b, noise[p.at%int64(len(noise)):])
	n = int(min(int64(n), p.size-p.at))
	p.at += int64(n)
	return n, nil
}

func (p *pattern) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += p.at
	case io.SeekEnd:
		offset += p.size
	}
	p.at = offset
	return offset, nil
}

var noise = func() []byte {
	b := make([]byte, 1<<20+7)
	r := rand.NewChaCha8([32]byte{})
	_, _ = r.Read(b)
	return b
}()

// BenchmarkGiB sends one object of 1 GiB up and down through the port, with the
// state on disk, and compares with the disk's own: a file of the same size that
// is written and flushed, and read. Reads may come from the page cache, in both.
func BenchmarkGiB(b *testing.B) {
	const size = 1 << 30
	dir := b.TempDir()
	cl := s3.NewFromConfig(serve(b, localcloud.Options{Dir: filepath.Join(dir, "state")}).config(), func(o *s3.Options) {
		o.RequestChecksumCalculation, o.ResponseChecksumValidation = aws.RequestChecksumCalculationWhenRequired, aws.ResponseChecksumValidationWhenRequired
	})
	must[*s3.CreateBucketOutput](b)(cl.CreateBucket(b.Context(), &s3.CreateBucketInput{Bucket: aws.String("bench")}))
	var up, down, write, read []float64 // bytes a second
	timed := func(to *[]float64, f func() error) {
		begun := time.Now()
		if err := f(); err != nil {
			b.Fatal(err)
		}
		*to = append(*to, size/time.Since(begun).Seconds())
	}
	file := filepath.Join(dir, "plain")
	for b.Loop() {
		timed(&write, func() error {
			f, err := os.Create(file)
			if err != nil {
				return err
			}
			_, err = io.CopyBuffer(struct{ io.Writer }{f}, &pattern{size: size}, make([]byte, 1<<20))
			return errors.Join(err, f.Sync(), f.Close())
		})
		timed(&up, func() error {
			_, err := cl.PutObject(b.Context(), &s3.PutObjectInput{Bucket: aws.String("bench"), Key: aws.String("k"), Body: &pattern{size: size}, ContentLength: aws.Int64(size)},
				s3.WithAPIOptions(v4.SwapComputePayloadSHA256ForUnsignedPayloadMiddleware))
			return err
		})
		timed(&read, func() error {
			f, err := os.Open(file)
			if err != nil {
				return err
			}
			_, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{f}, make([]byte, 1<<20))
			return errors.Join(err, f.Close(), os.Remove(file))
		})
		timed(&down, func() error {
			out, err := cl.GetObject(b.Context(), &s3.GetObjectInput{Bucket: aws.String("bench"), Key: aws.String("k")})
			if err != nil {
				return err
			}
			n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, out.Body, make([]byte, 1<<20))
			if n != size {
				err = errors.Join(err, fmt.Errorf("%d bytes came of %d", n, size))
			}
			return errors.Join(err, out.Body.Close())
		})
	}
	b.ReportMetric(median(up)/1e6, "up-MB/s")
	b.ReportMetric(median(down)/1e6, "down-MB/s")
	b.ReportMetric(100*median(up)/median(write), "%-of-write")
	b.ReportMetric(100*median(down)/median(read), "%-of-read")
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}
