package sagemaker

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// maxEntries bounds the number of files in a model archive.
const maxEntries = 100_000

// pack writes the files below dir as a tar.gz that depends on their names,
// bytes and executable bits only: sorted, without times, owners or links.
func pack(dir, archive string) (err error) {
	f, err := os.Create(archive)
	if err != nil {
		return fmt.Errorf("pack %s: %w", filepath.Base(archive), err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z := gzip.NewWriter(f)
	t := tar.NewWriter(z)
	names, err := files(dir)
	if err != nil {
		return fmt.Errorf("pack %s: %w", filepath.Base(archive), err)
	}
	for _, n := range names {
		if err := packFile(t, filepath.Join(dir, filepath.FromSlash(n)), n); err != nil {
			return fmt.Errorf("pack %s: %w", n, err)
		}
	}
	return errors.Join(t.Close(), z.Close())
}

func packFile(t *tar.Writer, file, name string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	mode := int64(0o644)
	if info.Mode()&0o100 != 0 {
		mode = 0o755
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: info.Size(), Mode: mode, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(t, f)
	return err
}

// unpack extracts a tar.gz below dir: never outside, at most limit bytes.
func unpack(r io.Reader, dir string, limit int64) error {
	z, err := gzip.NewReader(r)
	if err != nil {
		return fmt.Errorf("not a gzip file: %w", err)
	}
	root, err := openRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	t := tar.NewReader(z)
	left := limit
	var links []string
	for n := 0; ; n++ {
		h, err := t.Next()
		if err == io.EOF {
			return stay(root, links)
		}
		if err != nil {
			return fmt.Errorf("not a tar file: %w", err)
		}
		if n == maxEntries {
			return fmt.Errorf("more than %d entries", maxEntries)
		}
		if left -= h.Size; left < 0 {
			return fmt.Errorf("unpacks to more than %d bytes", limit)
		}
		if err := unpackEntry(root, h, t); err != nil {
			return fmt.Errorf("entry %q: %w", h.Name, err)
		}
		if h.Typeflag == tar.TypeSymlink {
			links = append(links, h.Name)
		}
	}
}

// stay refuses symbolic links that leave the archive by way of others.
func stay(root *os.Root, links []string) error {
	for _, name := range links {
		if _, err := root.Stat(filepath.FromSlash(path.Clean(name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("entry %q: link leaves the archive: %w", name, err)
		}
	}
	return nil
}

func unpackEntry(root *os.Root, h *tar.Header, r io.Reader) error {
	name := path.Clean(h.Name)
	if path.IsAbs(h.Name) || !filepath.IsLocal(filepath.FromSlash(name)) {
		return errors.New("path leaves the archive")
	}
	switch h.Typeflag {
	case tar.TypeDir:
		if name == "." {
			return nil
		}
		return root.MkdirAll(filepath.FromSlash(name), 0o755)
	case tar.TypeReg:
		mode := fs.FileMode(0o644)
		if h.Mode&0o100 != 0 {
			mode = 0o755
		}
		_, err := writeBelow(root, name, mode, r)
		return err
	case tar.TypeSymlink, tar.TypeLink:
		return unpackLink(root, h, name)
	case tar.TypeXGlobalHeader:
		return nil
	}
	return fmt.Errorf("unsupported kind of entry %q", string(h.Typeflag))
}

func unpackLink(root *os.Root, h *tar.Header, name string) error {
	target := h.Linkname
	if h.Typeflag == tar.TypeSymlink && !path.IsAbs(target) {
		target = path.Join(path.Dir(name), target)
	}
	target = path.Clean(target)
	if path.IsAbs(target) || !filepath.IsLocal(filepath.FromSlash(target)) {
		return fmt.Errorf("link to %q leaves the archive", h.Linkname)
	}
	if d := path.Dir(name); d != "." {
		if err := root.MkdirAll(filepath.FromSlash(d), 0o755); err != nil {
			return err
		}
	}
	if h.Typeflag == tar.TypeLink {
		return root.Link(filepath.FromSlash(target), filepath.FromSlash(name))
	}
	if strings.Contains(h.Linkname, `\`) {
		return fmt.Errorf("link to %q is not portable", h.Linkname)
	}
	return root.Symlink(filepath.FromSlash(h.Linkname), filepath.FromSlash(name))
}
