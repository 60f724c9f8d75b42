package sagemaker

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/millrace-ml/millrace/localcloud/store"
)

// query is what the List operations have in common.
type query struct {
	nameContains                  *string
	createdAfter, createdBefore   *time.Time
	modifiedAfter, modifiedBefore *time.Time
	sortBy                        string // Name, CreationTime (default) or Status
	descending                    bool
	max                           *int32
	token                         *string
}

// listed is what a query looks at in an item; id is unique and breaks ties.
type listed struct {
	id, name, status  string
	created, modified time.Time
}

// defaultPage is the page's length when MaxResults is not given, as on AWS.
const defaultPage = 10

// cursor is where the next page begins: after the item with this key and id.
type cursor struct {
	By         string `json:"b"`
	Descending bool   `json:"d,omitempty"`
	Key        string `json:"k"`
	ID         string `json:"i"`
}

func (q query) keep(l listed) bool {
	if q.nameContains != nil && !strings.Contains(strings.ToLower(l.name), strings.ToLower(*q.nameContains)) {
		return false
	}
	if q.createdAfter != nil && !l.created.After(*q.createdAfter) || q.createdBefore != nil && !l.created.Before(*q.createdBefore) {
		return false
	}
	if q.modifiedAfter != nil && !l.modified.After(*q.modifiedAfter) || q.modifiedBefore != nil && !l.modified.Before(*q.modifiedBefore) {
		return false
	}
	return true
}

func (q query) key(l listed) string {
	switch q.sortBy {
	case "Name":
		return l.name
	case "Status":
		return l.status
	}
	return fmt.Sprintf("%020d", l.created.UnixNano())
}

// page filters, sorts and cuts items; the token is nil on the last page.
func page[T any](items []T, of func(T) listed, q query) ([]T, *string, error) {
	type entry struct {
		item    T
		key, id string
	}
	after, err := q.cursor()
	if err != nil {
		return nil, nil, err
	}
	less := func(k1, i1, k2, i2 string) bool {
		if q.descending {
			k1, i1, k2, i2 = k2, i2, k1, i1
		}
		return k1 < k2 || k1 == k2 && i1 < i2
	}
	var kept []entry
	for _, it := range items {
		l := of(it)
		e := entry{it, q.key(l), l.id}
		if q.keep(l) && (after == nil || less(after.Key, after.ID, e.key, e.id)) {
			kept = append(kept, e)
		}
	}
	sort.Slice(kept, func(i, j int) bool { return less(kept[i].key, kept[i].id, kept[j].key, kept[j].id) })
	limit := defaultPage
	if q.max != nil {
		limit = int(*q.max)
	}
	var next *string
	if len(kept) > limit {
		kept = kept[:limit]
		last := kept[limit-1]
		raw, err := json.Marshal(cursor{q.sortBy, q.descending, last.key, last.id})
		if err != nil {
			return nil, nil, fmt.Errorf("encode next token: %w", err)
		}
		next = aws.String(base64.RawURLEncoding.EncodeToString(raw))
	}
	out := make([]T, len(kept))
	for i, e := range kept {
		out[i] = e.item
	}
	return out, next, nil
}

func (q query) cursor() (*cursor, error) {
	if q.token == nil {
		return nil, nil
	}
	var c cursor
	raw, err := base64.RawURLEncoding.DecodeString(*q.token)
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil || c.By != q.sortBy || c.Descending != q.descending {
		return nil, invalid("Invalid pagination token.")
	}
	return &c, nil
}

// all reads a table's values whose keys begin with prefix.
func all[T any](t *store.Table[T], prefix string, keep func(T) bool) ([]T, error) {
	var found []T
	err := t.Scan(prefix, func(_ string, v T) bool {
		if keep == nil || keep(v) {
			found = append(found, v)
		}
		return true
	})
	return found, err
}
