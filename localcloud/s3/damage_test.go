package s3_test

import (
	"bytes"
	"context"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/millrace-ml/millrace/localcloud/clock"
	"github.com/millrace-ml/millrace/localcloud/s3"
)

// blobFile is the one file of an object's bytes in a folder.
func blobFile(t *testing.T, dir string) string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(filepath.Join(dir, "objects"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			found = append(found, path)
		}
		return err
	})
	if err != nil || len(found) != 1 {
		t.Fatalf("files of objects: %v, %v", found, err)
	}
	return found[0]
}

// A damaged object is told of and never given out whole; all others are as ever,
// and putting it again mends it.
func TestDamagedObjects(t *testing.T) {
	large := strings.Repeat("0123456789abcdef", 64<<10)
	for name, tt := range map[string]struct {
		damage func(path string) error
		start  string // what the start says
	}{
		"cut off": {func(path string) error { return os.Truncate(path, 1000) }, "object is damaged"},
		"gone":    {os.Remove, "object is damaged"},
		"a bit flipped": {func(path string) error {
			raw, err := os.ReadFile(path)
			if err == nil {
				raw[777] ^= 4
				err = os.WriteFile(path, raw, 0o600)
			}
			return err
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c := start(t, dir)
			makeBucket(t, c.root(), "things", false)
			put(t, c.root(), "things", "large", large)
			put(t, c.root(), "things", "small", "little")
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			path := blobFile(t, dir)
			if err := tt.damage(path); err != nil {
				t.Fatal(err)
			}
			c = start(t, dir)
			if said := c.log.String(); !strings.Contains(said, tt.start) || (tt.start != "" && (!strings.Contains(said, path) || !strings.Contains(said, "key=large"))) {
				t.Errorf("the start says %q", said)
			}
			out, err := c.root().GetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String("things"), Key: aws.String("large")})
			if err == nil {
				var raw []byte
				if raw, err = io.ReadAll(out.Body); err == nil {
					t.Errorf("the damaged object was read: %d bytes", len(raw))
				}
			} else if code(err) != "InternalError" {
				t.Errorf("got %v", err)
			}
			if said := c.log.String(); !strings.Contains(said, path) {
				t.Errorf("the log does not name the file: %q", said)
			}
			_, err = c.root().CopyObject(t.Context(), &awss3.CopyObjectInput{Bucket: aws.String("things"), Key: aws.String("copy"), CopySource: aws.String("things/large")})
			if err == nil {
				t.Error("the damaged object was copied")
			}
			if body, _, err := c.Open(context.Background(), "things", "large", ""); err == nil {
				if raw, err := io.ReadAll(body); err == nil {
					t.Errorf("the damaged object was read: %d bytes", len(raw))
				}
				_ = body.Close()
			}
			if got := get(t, c.root(), &awss3.GetObjectInput{Bucket: aws.String("things"), Key: aws.String("small")}); got != "little" {
				t.Errorf("the other object is %q", got)
			}
			put(t, c.root(), "things", "large", large)
			if got := get(t, c.root(), &awss3.GetObjectInput{Bucket: aws.String("things"), Key: aws.String("large")}); got != large {
				t.Errorf("put again it has %d bytes", len(got))
			}
		})
	}
}

// Objects without their index are not swept away.
func TestDamagedIndex(t *testing.T) {
	for name, tt := range map[string]struct {
		damage func(path string) error
		want   string
	}{
		"gone":    {os.Remove, "is missing, though there are 1 files of objects beside it"},
		"empty":   {func(path string) error { return os.Truncate(path, 0) }, "is damaged: it is cut off"},
		"cut off": {func(path string) error { return os.Truncate(path, 20000) }, "is damaged: it is cut off"},
		"text":    {func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("x"), 40000), 0o600) }, "is damaged: there is no header"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			c := start(t, dir)
			makeBucket(t, c.root(), "things", false)
			put(t, c.root(), "things", "large", strings.Repeat("x", 100_000))
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			index := filepath.Join(dir, "index.db")
			if err := tt.damage(index); err != nil {
				t.Fatal(err)
			}
			_, err := s3.New(s3.Options{Dir: dir, NoSync: true, Account: account, Region: "us-east-1", Clock: clock.Real{}, Log: slog.New(slog.DiscardHandler),
				SecretFor: secretFor, Evaluate: c.evaluate, Emit: c.emit})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), index) || !strings.Contains(err.Error(), "put back a copy") {
				t.Errorf("opened: %v", err)
			}
			if info, err := os.Stat(blobFile(t, dir)); err != nil || info.Size() != 100_000 {
				t.Errorf("the object's file: %v, %v", info, err)
			}
		})
	}
}
