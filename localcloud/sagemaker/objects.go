package sagemaker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sort"
	"strings"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// maxManifest bounds a manifest file, in bytes.
const maxManifest = 64 << 20

// object is one S3 object and where it goes below a folder.
type object struct {
	bucket, key string
	rel         string // slash-separated path below the input's folder
}

// clientError is a failure that AWS blames on the request: bad input, missing data.
type clientError struct{ text string }

func (e *clientError) Error() string { return "ClientError: " + e.text }

func blame(format string, args ...any) error { return &clientError{fmt.Sprintf(format, args...)} }

// parseS3 splits s3://bucket/key. https URIs, which AWS takes as well, are refused.
func parseS3(uri string) (bucket, key string, err error) {
	rest, ok := strings.CutPrefix(uri, "s3://")
	if !ok {
		return "", "", blame("The S3 URI %q must begin with s3://", uri)
	}
	bucket, key, _ = strings.Cut(rest, "/")
	if bucket == "" {
		return "", "", blame("The S3 URI %q names no bucket", uri)
	}
	return bucket, key, nil
}

// checkS3 refuses, when a job is created, a URI that no job could read or write.
func checkS3(member, uri string) error {
	if _, _, err := parseS3(uri); err != nil {
		return invalid("Invalid %s: %s", member, strings.TrimPrefix(err.Error(), "ClientError: "))
	}
	return nil
}

// expand lists what an input names: the objects under a prefix or in a manifest.
func (s *SageMaker) expand(ctx context.Context, dataType, uri, role string) ([]object, error) {
	bucket, key, err := parseS3(uri)
	if err != nil {
		return nil, err
	}
	if dataType == "ManifestFile" {
		return s.manifest(ctx, bucket, key)
	}
	keys, err := s.opt.Objects.List(ctx, bucket, key)
	if err != nil {
		return nil, download(bucket, key, err)
	}
	var found []object
	for _, k := range keys {
		if !strings.HasSuffix(k, "/") { // what consoles make for folders
			found = append(found, object{bucket, k, relative(key, k)})
		}
	}
	if len(found) == 0 {
		return nil, blame(`No S3 objects found under S3 URL "%s" given in input data source. Please ensure that the bucket exists in the selected region (%s), that objects exist under that S3 prefix, and that the role "%s" has "s3:ListBucket" permissions on bucket "%s".`,
			uri, s.opt.Region, role, bucket)
	}
	return found, nil
}

// relative is a key's path below the prefix that matched it. A prefix that ends
// inside a name (data/part) keeps the whole name (part-0001).
func relative(prefix, key string) string {
	rest := strings.TrimPrefix(key, prefix)
	switch {
	case rest == "":
		return path.Base(key)
	case prefix == "" || strings.HasSuffix(prefix, "/"):
		return rest
	case strings.HasPrefix(rest, "/"):
		return rest[1:]
	}
	return strings.TrimPrefix(key, prefix[:strings.LastIndex(prefix, "/")+1])
}

// manifest reads [{"prefix":"s3://b/p/"}, "relative/key", ...].
func (s *SageMaker) manifest(ctx context.Context, bucket, key string) ([]object, error) {
	uri := "s3://" + bucket + "/" + key
	body, size, err := s.opt.Objects.Open(ctx, bucket, key, "")
	if err != nil {
		return nil, download(bucket, key, err)
	}
	defer body.Close()
	if size > maxManifest {
		return nil, blame("The manifest %s has %d bytes; at most %d are read", uri, size, maxManifest)
	}
	var items []json.RawMessage
	var head struct {
		Prefix string `json:"prefix"`
	}
	raw, err := io.ReadAll(io.LimitReader(body, maxManifest))
	if err != nil {
		return nil, download(bucket, key, err)
	}
	if json.Unmarshal(raw, &items) != nil || len(items) == 0 || json.Unmarshal(items[0], &head) != nil || head.Prefix == "" {
		return nil, blame(`The manifest %s must be a JSON array whose first element is {"prefix": "s3://..."}`, uri)
	}
	pb, pk, err := parseS3(head.Prefix)
	if err != nil {
		return nil, err
	}
	var found []object
	for i, it := range items[1:] {
		var rel string
		if err := json.Unmarshal(it, &rel); err != nil || rel == "" {
			return nil, blame("The manifest %s: element %d is not a relative S3 key", uri, i+1)
		}
		found = append(found, object{pb, pk + rel, strings.TrimPrefix(rel, "/")})
	}
	if len(found) == 0 {
		return nil, blame("The manifest %s lists no objects", uri)
	}
	return found, nil
}

// download words an S3 failure as AWS does in FailureReason.
func download(bucket, key string, err error) error {
	var e *wire.Error
	if errors.As(err, &e) {
		return blame("Data download failed:%s (%d): %s (s3://%s/%s)", e.Code, e.HTTPStatus(), e.Message, bucket, key)
	}
	return fmt.Errorf("download s3://%s/%s: %w", bucket, key, err)
}

// fetch copies objects below dir. Names that leave dir are refused.
func (s *SageMaker) fetch(ctx context.Context, objects []object, dir string) error {
	root, err := openRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, o := range objects {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.fetchOne(ctx, o, root); err != nil {
			return err
		}
	}
	return nil
}

func (s *SageMaker) fetchOne(ctx context.Context, o object, root *os.Root) error {
	body, size, err := s.opt.Objects.Open(ctx, o.bucket, o.key, "")
	if err != nil {
		return download(o.bucket, o.key, err)
	}
	defer body.Close()
	n, err := writeBelow(root, o.rel, 0o644, contextReader{ctx, body})
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return blame("Data download failed: cannot write s3://%s/%s as %q: %v", o.bucket, o.key, o.rel, err)
	}
	if n != size {
		return download(o.bucket, o.key, fmt.Errorf("got %d of %d bytes", n, size))
	}
	return nil
}

// contextReader ends a copy when its context ends.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

func openRoot(dir string) (*os.Root, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	return os.OpenRoot(dir)
}

// writeBelow writes a new file at the slash-separated path name in root,
// making its folders; it cannot leave root.
func writeBelow(root *os.Root, name string, mode fs.FileMode, r io.Reader) (n int64, err error) {
	local, err := filepath.Localize(path.Clean(name))
	if err != nil {
		return 0, fmt.Errorf("path %q leaves its folder", name)
	}
	if d := filepath.Dir(local); d != "." {
		if err := root.MkdirAll(d, 0o755); err != nil {
			return 0, err
		}
	}
	f, err := root.OpenFile(local, os.O_CREATE|os.O_WRONLY|os.O_EXCL, mode)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.Copy(f, r)
}

// files lists the regular files below dir, sorted, as slash-separated paths.
// Symbolic links are not followed, as in SageMaker's uploads. No dir, no files.
func files(dir string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		names = append(names, filepath.ToSlash(rel))
		return err
	})
	if errors.Is(err, fs.ErrNotExist) && len(names) == 0 {
		return nil, nil
	}
	sort.Strings(names)
	return names, err
}

// upload puts the files below dir under uri.
func (s *SageMaker) upload(ctx context.Context, dir, uri string) error {
	names, err := files(dir)
	if err != nil {
		return fmt.Errorf("list outputs: %w", err)
	}
	for _, n := range names {
		if err := s.put(ctx, filepath.Join(dir, filepath.FromSlash(n)), strings.TrimSuffix(uri, "/")+"/"+n); err != nil {
			return err
		}
	}
	return nil
}

// put uploads one file to the object uri.
func (s *SageMaker) put(ctx context.Context, file, uri string) error {
	bucket, key, err := parseS3(uri)
	if err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("read output: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("read output: %w", err)
	}
	if _, err := s.opt.Objects.Put(ctx, bucket, key, f, info.Size()); err != nil {
		var e *wire.Error
		if errors.As(err, &e) {
			return blame("Data upload failed:%s (%d): %s (%s)", e.Code, e.HTTPStatus(), e.Message, uri)
		}
		return fmt.Errorf("upload %s: %w", uri, err)
	}
	return nil
}

// joinURI puts a path after an output's prefix.
func joinURI(uri string, parts ...string) string {
	return strings.TrimSuffix(uri, "/") + "/" + strings.Join(parts, "/")
}
