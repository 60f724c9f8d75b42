// Package store keeps the local cloud's state in one bbolt file: tables of JSON
// values, each owned by one service. A write that returned is on disk.
package store

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"

	"go.etcd.io/bbolt"
)

// Store is one state file.
type Store struct {
	file  *File
	group *Group
}

// Options tune a Store.
type Options struct {
	NoSync bool         // do not wait for the disk: for state that is thrown away at the end
	Log    *slog.Logger // is told when the disk is full; nil: nobody
}

// Open opens or creates the state file; see OpenFile for its errors.
func Open(path string, o Options) (*Store, error) {
	f, err := OpenFile(path, o)
	if err != nil {
		return nil, err
	}
	return &Store{file: f, group: NewGroup(f)}, nil
}

// Close releases the file.
func (s *Store) Close() error {
	s.group.Close()
	return s.file.Close()
}

// UnsealJSON decodes a sealed JSON value.
func UnsealJSON(key, sealed []byte, v any) error {
	raw, err := Unseal(key, sealed)
	if err != nil {
		return err
	}
	return json.Unmarshal(raw, v)
}

// Table is a sorted map of JSON values in a Store.
type Table[T any] struct {
	db    *bbolt.DB
	group *Group
	name  []byte
	wait  context.Context //nolint:containedctx // of Patient; nil for one that does not wait
}

// write runs f in a write transaction.
func (t *Table[T]) write(f func(tx *bbolt.Tx) error) error {
	err := t.group.Update(f)
	for t.again(err) {
		err = t.group.Update(f)
	}
	return err
}

// NewTable opens a table, creating it when it is new. Names are "service/what".
func NewTable[T any](s *Store, name string) (*Table[T], error) {
	t := &Table[T]{db: s.file.DB, group: s.group, name: []byte(name)}
	err := t.group.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(t.name)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("open table %s: %w", name, err)
	}
	return t, nil
}

// Get reads a value; ok is false when there is none.
func (t *Table[T]) Get(key string) (v T, ok bool, err error) {
	err = t.db.View(func(tx *bbolt.Tx) error {
		raw := tx.Bucket(t.name).Get([]byte(key))
		if raw == nil {
			return nil
		}
		ok = true
		return UnsealJSON([]byte(key), raw, &v)
	})
	if err != nil {
		return v, false, fmt.Errorf("read %s %q: %w", t.name, key, err)
	}
	return v, ok, nil
}

// Put writes a value.
func (t *Table[T]) Put(key string, v T) error {
	return t.PutAll(map[string]T{key: v})
}

// PutAll writes several values in one transaction.
func (t *Table[T]) PutAll(values map[string]T) error {
	encoded := make(map[string][]byte, len(values))
	for k, v := range values {
		raw, err := json.Marshal(v)
		if err != nil {
			return fmt.Errorf("write %s %q: %w", t.name, k, err)
		}
		encoded[k] = Seal([]byte(k), raw)
	}
	err := t.write(func(tx *bbolt.Tx) error {
		for k, raw := range encoded {
			if err := tx.Bucket(t.name).Put([]byte(k), raw); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write %s: %w", t.name, err)
	}
	return nil
}

// Update reads, changes and writes a value in one transaction: f gets the value
// (zero when ok is false) and returns what to keep; its error leaves all as it
// was. f must not use the store: its writes wait for f.
func (t *Table[T]) Update(key string, f func(v T, ok bool) (T, error)) (T, error) {
	var next T
	var refused error
	err := t.write(func(tx *bbolt.Tx) error {
		var cur T
		raw := tx.Bucket(t.name).Get([]byte(key))
		if raw != nil {
			if err := UnsealJSON([]byte(key), raw, &cur); err != nil {
				return err
			}
		}
		if next, refused = f(cur, raw != nil); refused != nil {
			return refused
		}
		out, err := json.Marshal(next)
		if err != nil {
			return err
		}
		return tx.Bucket(t.name).Put([]byte(key), Seal([]byte(key), out))
	})
	if refused != nil {
		return next, refused
	}
	if err != nil {
		return next, fmt.Errorf("update %s %q: %w", t.name, key, err)
	}
	return next, nil
}

// Delete removes a value; one that is not there is no error.
func (t *Table[T]) Delete(key string) error {
	err := t.write(func(tx *bbolt.Tx) error { return tx.Bucket(t.name).Delete([]byte(key)) })
	if err != nil {
		return fmt.Errorf("delete %s %q: %w", t.name, key, err)
	}
	return nil
}

// Scan calls f for each key that begins with prefix, in key order, until f returns false.
func (t *Table[T]) Scan(prefix string, f func(key string, v T) bool) error {
	err := t.db.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket(t.name).Cursor()
		for k, raw := c.Seek([]byte(prefix)); k != nil && len(k) >= len(prefix) && string(k[:len(prefix)]) == prefix; k, raw = c.Next() {
			var v T
			if err := UnsealJSON(k, raw, &v); err != nil {
				return err
			}
			if !f(string(k), v) {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("scan %s: %w", t.name, err)
	}
	return nil
}
