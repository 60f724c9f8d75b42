package lambda

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// Lambda's limits on code, in bytes.
const (
	maxZipUpload = 50 << 20
	maxZipObject = 250 << 20
	maxUnzipped  = 262144000
	maxFiles     = 50000
)

// codeSource is where a function's zip comes from: its bytes, or an S3 object.
type codeSource struct {
	Zip                  []byte
	Bucket, Key, Version *string
}

// install fetches and unpacks the code into <Dir>/<function>/<sha256>, and
// records it in f. A folder that exists is complete: it got its name last.
func (l *Lambda) install(ctx context.Context, f *function, src codeSource) error {
	tmp, err := os.CreateTemp(scratchRoot(l.o.Dir), "code-*.zip")
	if err != nil {
		return fmt.Errorf("create temporary file: %w", err)
	}
	defer func() {
		_ = tmp.Close()
		_ = os.Remove(tmp.Name())
	}()
	hash := sha256.New()
	size, err := l.fetch(ctx, src, io.MultiWriter(tmp, hash))
	if err != nil {
		return err
	}
	hexSum, b64 := codeHash(hash.Sum(nil))
	target := l.codeDir(f.name(), hexSum)
	if _, err := os.Stat(target); errors.Is(err, os.ErrNotExist) {
		if err := l.unpackTo(tmp, size, target); err != nil {
			return err
		}
	} else if err != nil {
		return fmt.Errorf("look for code %s: %w", target, err)
	}
	f.CodeSHA = hexSum
	f.Config.CodeSha256, f.Config.CodeSize = aws.String(b64), size
	f.Source = types.FunctionCodeLocation{RepositoryType: aws.String("S3")}
	return nil
}

// sweep removes what an earlier run left: scratch space, and code that no
// function uses any more (it cannot be removed while a process may still run from it).
func (l *Lambda) sweep() error {
	used := map[string]bool{scratchRoot(l.o.Dir): true}
	err := l.functions.Scan("", func(name string, f function) bool {
		used[filepath.Join(l.o.Dir, name)] = true
		used[l.codeDir(name, f.CodeSHA)] = true
		return true
	})
	if err != nil {
		return err
	}
	var found []string
	for _, pattern := range []string{"*", "*/*"} {
		paths, err := filepath.Glob(filepath.Join(l.o.Dir, pattern))
		if err != nil {
			return fmt.Errorf("list code in %s: %w", l.o.Dir, err)
		}
		found = append(found, paths...)
	}
	for _, path := range found {
		if used[path] {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("remove left-over %s: %w", path, err)
		}
	}
	return nil
}

func (l *Lambda) codeDir(name, sha string) string { return filepath.Join(l.o.Dir, name, sha) }

// scratchRoot cannot collide with a function's folder: names have no dot.
func scratchRoot(dir string) string { return filepath.Join(dir, ".scratch") }

func (l *Lambda) fetch(ctx context.Context, src codeSource, w io.Writer) (int64, error) {
	switch {
	case len(src.Zip) > 0 && src.Bucket != nil:
		return 0, invalid("Please do not provide other FunctionCode parameters when providing a ZipFile.")
	case len(src.Zip) > maxZipUpload:
		return 0, status(http.StatusRequestEntityTooLarge, "RequestEntityTooLargeException", "Zipped size must be smaller than %d bytes", maxZipUpload)
	case len(src.Zip) > 0:
		n, err := w.Write(src.Zip)
		return int64(n), err
	case src.Bucket == nil || src.Key == nil:
		return 0, invalid("Please provide a source for function code.")
	case l.o.Objects == nil:
		return 0, invalid("code from S3 is not available in this cloud")
	}
	r, size, err := l.o.Objects.Open(ctx, *src.Bucket, *src.Key, aws.ToString(src.Version))
	if err != nil {
		e := wire.AsError(err)
		return 0, invalid("Error occurred while GetObject. S3 Error Code: %s. S3 Error Message: %s", e.Code, e.Message)
	}
	defer func() { _ = r.Close() }()
	if size > maxZipObject {
		return 0, invalid("Unzipped size must be smaller than %d bytes", maxUnzipped)
	}
	n, err := io.Copy(w, io.LimitReader(r, maxZipObject+1))
	if err != nil {
		return 0, fmt.Errorf("read code s3://%s/%s: %w", *src.Bucket, *src.Key, err)
	}
	return n, nil
}

func (l *Lambda) unpackTo(zipFile io.ReaderAt, size int64, target string) error {
	if err := os.MkdirAll(filepath.Dir(target), 0o700); err != nil {
		return fmt.Errorf("create code folder: %w", err)
	}
	tmp, err := os.MkdirTemp(scratchRoot(l.o.Dir), "code-")
	if err != nil {
		return fmt.Errorf("create code folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	if err := unpack(zipFile, size, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, target); err != nil {
		if _, statErr := os.Stat(target); statErr == nil {
			return nil // another request unpacked the same code
		}
		return fmt.Errorf("place code: %w", err)
	}
	return nil
}

// unpack writes the zip's files under dir. Names that would leave dir, links
// and devices are refused, and the unpacked size is bounded by what is written,
// not by what the zip claims.
func unpack(r io.ReaderAt, size int64, dir string) error {
	z, err := zip.NewReader(r, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return invalid("Could not unzip uploaded file. Please check your file, then try to upload again. (%v)", err)
	}
	if len(z.File) > maxFiles {
		return invalid("the zip has %d files; at most %d are allowed", len(z.File), maxFiles)
	}
	left := int64(maxUnzipped)
	for _, f := range z.File {
		name := filepath.FromSlash(f.Name)
		if !filepath.IsLocal(name) || strings.Contains(f.Name, `\`) {
			return invalid("Could not unzip uploaded file: the name %q leaves the code folder", f.Name)
		}
		path := filepath.Join(dir, name)
		mode := f.Mode()
		switch {
		case mode.IsDir():
			if err := os.MkdirAll(path, 0o700); err != nil {
				return badName(f.Name, err)
			}
			continue
		case !mode.IsRegular():
			return invalid("Could not unzip uploaded file: %q is a %s; only files and folders are allowed", f.Name, mode.Type())
		}
		n, err := unpackFile(f, path, left)
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

// badName tells a name that no file can have from a disk that fails.
func badName(name string, err error) error {
	for _, e := range []error{syscall.EINVAL, syscall.ENAMETOOLONG, syscall.ENOTDIR, syscall.EISDIR, syscall.EEXIST} {
		if errors.Is(err, e) {
			return invalid("Could not unzip uploaded file: %q: %v", name, e)
		}
	}
	return fmt.Errorf("unpack %q: %w", name, err)
}

func unpackFile(f *zip.File, path string, left int64) (int64, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return 0, badName(f.Name, err)
	}
	r, err := f.Open()
	if err != nil {
		return 0, invalid("Could not unzip uploaded file: %q: %v", f.Name, err)
	}
	defer func() { _ = r.Close() }()
	w, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, f.Mode().Perm()|0o600)
	if err != nil {
		return 0, badName(f.Name, err)
	}
	n, err := io.Copy(w, io.LimitReader(r, left+1))
	if closeErr := w.Close(); err == nil {
		err = closeErr
	}
	switch {
	case n > left:
		return n, invalid("Unzipped size must be smaller than %d bytes", maxUnzipped)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EIO):
		return n, fmt.Errorf("unpack %q: %w", f.Name, err)
	case err != nil:
		return n, invalid("Could not unzip uploaded file: %q: %v", f.Name, err)
	}
	return n, nil
}
