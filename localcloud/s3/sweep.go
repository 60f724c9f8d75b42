package s3

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/millrace-ml/millrace/localcloud/store"
)

// sweep removes the segment files that nothing refers to: a process that was
// killed between the keeping of a file and the write of the index leaves one.
func (k *keeper) sweep() error {
	used, err := k.usedFiles()
	if err != nil {
		return fmt.Errorf("find unused objects: %w", err)
	}
	err = filepath.WalkDir(k.blobs.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		u, ok := used[d.Name()]
		if !ok {
			return os.Remove(path)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Size() == u.size {
			delete(used, d.Name())
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("remove unused objects: %w", err)
	}
	// The rest of the cloud is good: only who asks for these objects gets errors.
	for _, id := range slices.Sorted(maps.Keys(used)) {
		k.log.Error("object is damaged: its file is not there, or was cut off (put the object again, or put back a copy of the file)",
			"bucket", used[id].bucket, "key", used[id].key, "file", k.blobs.path(id))
	}
	return nil
}

// indexed refuses a folder that has objects and no index of them: each would be
// taken for one that nothing refers to.
func indexed(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, indexFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	files, err := filepath.Glob(filepath.Join(dir, objectFolder, "*", "*"))
	if err != nil || len(files) == 0 {
		return err
	}
	return fmt.Errorf("open object index: %s is missing, though there are %d files of objects beside it (put back a copy of it, or move the folder away to begin anew)", filepath.Join(dir, indexFile), len(files))
}

// use is what a segment file is for.
type use struct {
	bucket, key string
	size        int64
}

// usedFiles are all segments that are files, by id.
func (k *keeper) usedFiles() (map[string]use, error) {
	used := map[string]use{}
	note := func(bucketName, key string, segments ...segment) {
		for _, s := range segments {
			if !s.Small {
				used[s.ID] = use{bucketName, key, s.Size}
			}
		}
	}
	err := k.index.view(func(tx *bbolt.Tx) error {
		return errors.Join(
			eachRecord(tx.Bucket(tableObjects), func(bucketName string, rec []byte, v *version) {
				key, _ := splitVersionKey(rec)
				note(bucketName, key, v.Segments...)
			}),
			eachRecord(tx.Bucket(tableUploads), func(bucketName string, _ []byte, u *upload) {
				for _, p := range u.Parts {
					note(bucketName, u.Key, p.Segment)
				}
			}))
	})
	return used, err
}

// eachRecord decodes every record of every bucket's table.
func eachRecord[T any](tables *bbolt.Bucket, f func(bucketName string, rec []byte, v *T)) error {
	return tables.ForEachBucket(func(name []byte) error {
		return tables.Bucket(name).ForEach(func(rec, raw []byte) error {
			var v T
			if err := store.UnsealJSON(rec, raw, &v); err != nil {
				return fmt.Errorf("read a record of bucket %s: %w", name, err)
			}
			f(string(name), rec, &v)
			return nil
		})
	})
}
