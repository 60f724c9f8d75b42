package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"go.etcd.io/bbolt"
)

// ErrInUse says that another process holds the file.
var ErrInUse = errors.New("state is in use by another process")

// Damaged says that a file is not what was written. It was left as it is.
type Damaged struct {
	Path string
	Why  string
}

func (d *Damaged) Error() string {
	return fmt.Sprintf("%s is damaged: %s (nothing was changed; put back a copy of its folder, or move the folder away to begin anew)", d.Path, d.Why)
}

// format is the version of what is in the files.
const format = 1

// The table and the key of the format's version.
var (
	tableAbout = []byte("about")
	keyFormat  = []byte("format")
)

// File is a bbolt file that this process alone has open, and that was found whole.
type File struct {
	*bbolt.DB
	lock  *os.File
	watch watch
}

// OpenFile opens or creates a file; ErrInUse when another process has it,
// *Damaged when it is not as it was written. All its values must be sealed.
func OpenFile(path string, o Options) (_ *File, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create folder of state: %w", err)
	}
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, fmt.Errorf("open state %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, lock.Close())
		}
	}()
	switch _, err := os.Stat(path); {
	case errors.Is(err, os.ErrNotExist):
		if err := create(path, o); err != nil {
			return nil, fmt.Errorf("create state %s: %w", path, err)
		}
	case err != nil:
		return nil, fmt.Errorf("open state %s: %w", path, err)
	}
	// Checked before bbolt sees it, whom a damaged file makes end the process.
	if err := check(path); err != nil {
		return nil, err
	}
	db, err := open(path, o)
	if err != nil {
		return nil, fmt.Errorf("open state %s: %w", path, err)
	}
	if err := db.View(checkFormat); err != nil {
		return nil, errors.Join(fmt.Errorf("open state %s: %w", path, err), db.Close())
	}
	f := &File{DB: db, lock: lock, watch: watch{log: o.Log, path: path}}
	if f.watch.log == nil {
		f.watch.log = slog.New(slog.DiscardHandler)
	}
	return f, nil
}

// Close lets go of the file; once more is no error.
func (f *File) Close() error {
	err := f.DB.Close()
	if lerr := f.lock.Close(); !errors.Is(lerr, os.ErrClosed) {
		err = errors.Join(err, lerr)
	}
	return err
}

func open(path string, o Options) (*bbolt.DB, error) {
	return bbolt.Open(path, 0o600, &bbolt.Options{NoSync: o.NoSync, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType})
}

// lockFile takes a lock that ends with the process.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = ErrInUse
		}
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// create makes a file that is whole from the moment that it has its name, so
// that one which is cut off is never taken for a new one.
func create(path string, o Options) error {
	fresh := path + ".new"
	if err := os.Remove(fresh); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	db, err := open(fresh, o)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		about, err := tx.CreateBucket(tableAbout)
		if err != nil {
			return err
		}
		return about.Put(keyFormat, Seal(keyFormat, []byte(strconv.Itoa(format))))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Rename(fresh, path); err != nil || o.NoSync {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func checkFormat(tx *bbolt.Tx) error {
	var version string
	if about := tx.Bucket(tableAbout); about != nil {
		raw, err := Unseal(keyFormat, about.Get(keyFormat))
		if err != nil {
			return err
		}
		version = string(raw)
	}
	if version == strconv.Itoa(format) {
		return nil
	}
	if version == "" {
		version = "of before there were formats"
	}
	return fmt.Errorf("its format is %s, and this version of the program has format %d: use the version that wrote it, or move the folder away to begin anew", version, format)
}

// sealSize is the length of a seal, in bytes.
const sealSize = 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// seal is a checksum over a value and the key that it is kept under.
func seal(key, value []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, value)
}

// Seal puts a checksum before a value.
func Seal(key, value []byte) []byte {
	sealed := binary.BigEndian.AppendUint32(make([]byte, 0, sealSize+len(value)), seal(key, value))
	return append(sealed, value...)
}

// Unseal gives the value of a sealed one, as a part of it; it fails when that is
// not what was sealed under the key.
func Unseal(key, sealed []byte) ([]byte, error) {
	if len(sealed) < sealSize {
		return nil, fmt.Errorf("the record %q is damaged: it has %d bytes", key, len(sealed))
	}
	value := sealed[sealSize:]
	if binary.BigEndian.Uint32(sealed) != seal(key, value) {
		return nil, fmt.Errorf("the record %q is damaged: its checksum differs", key)
	}
	return value, nil
}
