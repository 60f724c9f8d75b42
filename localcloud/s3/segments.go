package s3

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"

	"github.com/millrace-ml/millrace/localcloud/store"
)

// smallSegment is the size in bytes up to which a segment is kept in the index:
// most ledger objects are that small, and then cost no file of their own.
const smallSegment = 16 << 10

// segment is a run of bytes of an object: a file of the blob folder, or a value
// of the index's small table. A multipart object has one a part.
type segment struct {
	ID    string
	Size  int64
	CRC   uint32 `json:",omitempty"` // Castagnoli, of a file
	Small bool   `json:",omitempty"`
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

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
	log    *slog.Logger
}

func openBlobs(dir string, noSync bool, log *slog.Logger) (*blobs, error) {
	b := &blobs{dir: dir, noSync: noSync, log: log}
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
	sum, crc := md5.New(), crc32.New(castagnoli)
	r = io.TeeReader(r, io.MultiWriter(sum, crc))
	st := &staged{segment: segment{ID: randomID()}}
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
			if err = store.WhenFull(err); errors.Is(err, store.ErrFull) {
				b.log.Error("object refused: the disk is full (make room, and it goes on)", "folder", b.dir, "error", err)
			}
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
	st.segment.Size, st.segment.CRC, st.md5 = more, crc.Sum32(), hex.EncodeToString(sum.Sum(nil))
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
	id := []byte(st.segment.ID)
	return tx.Bucket(tableSmall).Put(id, store.Seal(id, st.data))
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
		id := []byte(s.ID)
		data, err := store.Unseal(id, tx.Bucket(tableSmall).Get(id))
		if err != nil {
			return fmt.Errorf("open object segment: %w", err)
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
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("open object segment: %w", err)
	}
	if info.Size() != s.Size {
		return damaged(f.Name(), "it has %d bytes of %d", info.Size(), s.Size)
	}
	var r io.Reader = io.NewSectionReader(f, offset, n)
	if n == s.Size {
		r = &checked{Reader: r, path: f.Name(), left: n, want: s.CRC, log: b.log}
	}
	c.readers = append(c.readers, r)
	return nil
}

// errDamaged says that an object's file is not as it was written.
var errDamaged = errors.New("an object is damaged")

func damaged(path, format string, args ...any) error {
	return fmt.Errorf("%w: file %s: %s (put the object again, or put back a copy of the file)", errDamaged, path, fmt.Sprintf(format, args...))
}

// checked reads a whole segment, and fails before its last bytes if it is not what
// was written: whoever reads it does not get the object whole.
type checked struct {
	io.Reader
	path      string
	left      int64
	want, sum uint32
	log       *slog.Logger
}

func (c *checked) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.sum = crc32.Update(c.sum, castagnoli, p[:n])
	if c.left -= int64(n); c.left == 0 && c.sum != c.want {
		err := damaged(c.path, "its checksum differs")
		c.log.Error("object not sent to its end", "error", err)
		return 0, err
	}
	return n, err
}

func (c *content) Close() error {
	var err error
	for _, f := range c.files {
		err = errors.Join(err, f.Close())
	}
	return err
}
