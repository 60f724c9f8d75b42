package s3

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// sweep removes the segment files that nothing refers to: a process that was
// killed between the keeping of a file and the write of the index leaves one.
func (k *keeper) sweep() error {
	used, err := k.usedFiles()
	if err != nil {
		return fmt.Errorf("find unused objects: %w", err)
	}
	err = filepath.WalkDir(k.blobs.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || used[d.Name()] {
			return err
		}
		return os.Remove(path)
	})
	if err != nil {
		return fmt.Errorf("remove unused objects: %w", err)
	}
	return nil
}

// usedFiles are the ids of all segments that are files.
func (k *keeper) usedFiles() (map[string]bool, error) {
	used := map[string]bool{}
	note := func(segments ...segment) {
		for _, s := range segments {
			if !s.Small {
				used[s.ID] = true
			}
		}
	}
	err := k.index.view(func(tx *bbolt.Tx) error {
		return errors.Join(
			eachRecord(tx.Bucket(tableObjects), func(v *version) { note(v.Segments...) }),
			eachRecord(tx.Bucket(tableUploads), func(u *upload) {
				for _, p := range u.Parts {
					note(p.Segment)
				}
			}))
	})
	return used, err
}

// eachRecord decodes every record of every bucket's table.
func eachRecord[T any](tables *bbolt.Bucket, f func(*T)) error {
	return tables.ForEachBucket(func(name []byte) error {
		return tables.Bucket(name).ForEach(func(_, raw []byte) error {
			var v T
			if err := json.Unmarshal(raw, &v); err != nil {
				return fmt.Errorf("read a record of bucket %s: %w", name, err)
			}
			f(&v)
			return nil
		})
	})
}
