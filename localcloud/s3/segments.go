package s3

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// smallSegment is the size in bytes up to which a segment is kept in the index:
// most ledger objects are that small, and then cost no file of their own.
const smallSegment = 16 << 10

// segment is a run of bytes of an object: a file of the blob folder, or a value
// of the index's small table. A multipart object has one a part.
type segment struct {
	ID    string
	Size  int64
	Small bool `json:",omitempty"`
}

// staged is a body that was received and is not yet part of any object.
type staged struct {
	segment segment
	data    []byte // of a small segment
	path    string // of a file that still has its temporary name
	md5     string // hex
}

// blobs is the folder of segments that are files.
type blobs struct {
	dir    string
	noSync bool
	newID  func() string
}

func openBlobs(dir string, noSync bool, newID func() string) (*blobs, error) {
	b := &blobs{dir: dir, noSync: noSync, newID: newID}
	// What an earlier process left half received belongs to nobody.
	if err := os.RemoveAll(b.incoming()); err != nil {
		return nil, fmt.Errorf("clear incoming objects: %w", err)
	}
	if err := os.MkdirAll(b.incoming(), 0o700); err != nil {
		return nil, fmt.Errorf("create object folder: %w", err)
	}
	return b, nil
}

func (b *blobs) incoming() string { return filepath.Join(b.dir, "incoming") }

func (b *blobs) path(id string) string { return filepath.Join(b.dir, id[:2], id) }

// receive reads a body to its end. Nothing refers to it until it is committed.
func (b *blobs) receive(r io.Reader) (_ *staged, err error) {
	sum := md5.New()
	r = io.TeeReader(r, sum)
	st := &staged{segment: segment{ID: b.newID()}}
	head := make([]byte, smallSegment+1)
	n, err := io.ReadFull(r, head)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		st.data, st.segment.Small, st.segment.Size = head[:n], true, int64(n)
		st.md5 = hex.EncodeToString(sum.Sum(nil))
		return st, nil
	case err != nil:
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(b.incoming(), st.segment.ID), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("create object file: %w", err)
	}
	st.path = f.Name()
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(st.path))
		}
	}()
	more, err := io.Copy(f, io.MultiReader(bytes.NewReader(head), r))
	if err == nil && !b.noSync {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, err
	}
	st.segment.Size, st.md5 = more, hex.EncodeToString(sum.Sum(nil))
	return st, nil
}

// publish gives a staged file its lasting name; small segments need none.
func (b *blobs) publish(st *staged) error {
	if st.segment.Small {
		return nil
	}
	to := b.path(st.segment.ID)
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return fmt.Errorf("create object folder: %w", err)
	}
	if err := os.Rename(st.path, to); err != nil {
		return fmt.Errorf("keep object: %w", err)
	}
	if b.noSync {
		return nil
	}
	return syncDir(filepath.Dir(to))
}

// syncDir makes a new name last through a power cut, as the index that will refer to it does.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("keep object: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("keep object: %w", err)
	}
	return nil
}

// commit writes a small segment within the transaction that refers to it.
func (b *blobs) commit(tx *bbolt.Tx, st *staged) error {
	if !st.segment.Small {
		return nil
	}
	return tx.Bucket(tableSmall).Put([]byte(st.segment.ID), st.data)
}

// discard removes what was staged but not committed.
func (b *blobs) discard(st *staged) {
	if st != nil && !st.segment.Small {
		_ = os.Remove(st.path)
		_ = os.Remove(b.path(st.segment.ID))
	}
}

// removeSmall drops index segments within the transaction that drops the last reference.
func removeSmall(tx *bbolt.Tx, segments []segment) error {
	for _, s := range segments {
		if s.Small {
			if err := tx.Bucket(tableSmall).Delete([]byte(s.ID)); err != nil {
				return err
			}
		}
	}
	return nil
}

// removeFiles drops segment files once the index no longer refers to them. A
// reader that has one open goes on reading it.
func (b *blobs) removeFiles(segments []segment) {
	for _, s := range segments {
		if !s.Small {
			_ = os.Remove(b.path(s.ID))
		}
	}
}

// open opens length bytes from offset of the segments' concatenation. It must run
// inside the transaction that read the segments, so that none can vanish in between.
func (b *blobs) open(tx *bbolt.Tx, segments []segment, offset, length int64) (io.ReadCloser, error) {
	out := &content{}
	for _, s := range segments {
		if length <= 0 {
			break
		}
		if offset >= s.Size {
			offset -= s.Size
			continue
		}
		n := min(length, s.Size-offset)
		if err := out.add(tx, b, s, offset, n); err != nil {
			return nil, errors.Join(err, out.Close())
		}
		offset, length = 0, length-n
	}
	out.Reader = io.MultiReader(out.readers...)
	return out, nil
}

// content is the bytes of an object, or of a range of it.
type content struct {
	io.Reader
	readers []io.Reader
	files   []*os.File
}

func (c *content) add(tx *bbolt.Tx, b *blobs, s segment, offset, n int64) error {
	if s.Small {
		data := tx.Bucket(tableSmall).Get([]byte(s.ID))
		if int64(len(data)) != s.Size {
			return fmt.Errorf("open object segment %s: %d bytes of %d", s.ID, len(data), s.Size)
		}
		// bbolt's memory is only good within the transaction.
		c.readers = append(c.readers, bytes.NewReader(bytes.Clone(data[offset:offset+n])))
		return nil
	}
	f, err := os.Open(b.path(s.ID))
	if err != nil {
		return fmt.Errorf("open object segment: %w", err)
	}
	c.files = append(c.files, f)
	c.readers = append(c.readers, io.NewSectionReader(f, offset, n))
	return nil
}

func (c *content) Close() error {
	var err error
	for _, f := range c.files {
		err = errors.Join(err, f.Close())
	}
	return err
}
