package s3

import (
	"context"
	"errors"
	"fmt"
	crc64hash "hash/crc64"
	"io"
	"net/http"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
	"go.etcd.io/bbolt"

	"github.com/millrace-ml/millrace/localcloud/store"
)

func uploadKey(key, id string) []byte { return []byte(key + "\x00" + id) }

// uploadIn reads an upload and the table that holds it.
func uploadIn(tx *bbolt.Tx, bucketName, key, id string) (*upload, *bbolt.Bucket, error) {
	if _, err := getBucket(tx, bucketName); err != nil {
		return nil, nil, err
	}
	t := tx.Bucket(tableUploads).Bucket([]byte(bucketName))
	raw := t.Get(uploadKey(key, id))
	if raw == nil {
		return nil, t, s3err.GetNoSuchUploadErr(id)
	}
	var u upload
	if err := store.UnsealJSON(uploadKey(key, id), raw, &u); err != nil {
		return nil, t, fmt.Errorf("read upload %s: %w", id, err)
	}
	return &u, t, nil
}

func (k *keeper) upload(bucketName, key, id string) (u *upload, err error) {
	err = k.index.view(func(tx *bbolt.Tx) error {
		u, _, err = uploadIn(tx, bucketName, key, id)
		return err
	})
	return u, err
}

func (k *keeper) CreateMultipartUpload(ctx context.Context, in s3response.CreateMultipartUploadInput) (s3response.InitiateMultipartUploadResult, error) {
	var none s3response.InitiateMultipartUploadResult
	name, key := text(in.Bucket), text(in.Key)
	if err := checkKey(key); err != nil {
		return none, err
	}
	if in.ObjectLockMode != "" || in.ObjectLockLegalHoldStatus != "" {
		return none, s3err.GetAPIError(s3err.ErrMissingObjectLockConfigurationNoSpaces)
	}
	tags, err := parseTags(text(in.Tagging))
	if err != nil {
		return none, err
	}
	u := &upload{Key: key, Started: k.now(), Metadata: decoded(ctx, in.Metadata), Tags: tags, Class: classOf(ctx),
		Headers:  headers(headerFields{in.ContentType, in.ContentEncoding, in.ContentDisposition, in.ContentLanguage, in.CacheControl, in.Expires, in.WebsiteRedirectLocation}),
		Checksum: checksum{Algorithm: strings.Clone(string(in.ChecksumAlgorithm)), Type: strings.Clone(string(in.ChecksumType))}}
	err = k.index.update(func(tx *bbolt.Tx) error {
		if _, err := getBucket(tx, name); err != nil {
			return err
		}
		t := tx.Bucket(tableUploads).Bucket([]byte(name))
		seq, err := t.NextSequence()
		if err != nil {
			return err
		}
		u.ID = fmt.Sprintf("%012x%s", seq, randomID()) // those of a key are listed in the order of their beginning
		return putJSON(t, uploadKey(key, u.ID), u)
	})
	return s3response.InitiateMultipartUploadResult{Bucket: name, Key: key, UploadId: u.ID}, err
}

// savePart puts a staged part into its upload, in place of one of the same number.
func (k *keeper) savePart(bucketName, key, id string, number int32, st *staged, p part) error {
	if err := k.blobs.publish(st); err != nil {
		k.blobs.discard(st)
		return err
	}
	var replaced []segment
	err := k.index.update(func(tx *bbolt.Tx) error {
		u, t, err := uploadIn(tx, bucketName, key, id)
		if err != nil {
			return err
		}
		if old, ok := u.Parts[number]; ok {
			replaced = []segment{old.Segment}
		}
		if err := removeSmall(tx, replaced); err != nil {
			return err
		}
		if u.Parts == nil {
			u.Parts = map[int32]part{}
		}
		u.Parts[number] = p
		if err := putJSON(t, uploadKey(key, id), u); err != nil {
			return err
		}
		return k.blobs.commit(tx, st)
	})
	if err != nil {
		k.blobs.discard(st)
		return err
	}
	k.blobs.removeFiles(replaced)
	return nil
}

// UploadPart receives one part.
func (k *keeper) UploadPart(_ context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	name, key, id := text(in.Bucket), text(in.Key), text(in.UploadId)
	u, err := k.upload(name, key, id)
	if err != nil {
		return nil, err
	}
	algorithm, sum := givenChecksum(*in)
	if c, ok := in.Body.(middlewares.ChecksumReader); ok && c.Algorithm() != "" {
		algorithm = strings.ToUpper(c.Algorithm())
	}
	if algorithm == "" && u.Checksum.Type == string(types.ChecksumTypeComposite) {
		return nil, mismatch(u.Checksum.Algorithm, "null")
	}
	if algorithm != "" && u.Checksum.Type != "" && algorithm != u.Checksum.Algorithm {
		return nil, mismatch(u.Checksum.Algorithm, algorithm)
	}
	shown := algorithm != ""
	if algorithm == "" {
		algorithm = u.Checksum.Algorithm
	}
	whole := crc64hash.New(nvme)
	body := io.TeeReader(in.Body, whole)
	if c, ok := in.Body.(middlewares.ChecksumReader); ok && c.Algorithm() != "" {
		body = trailing{body, c}
	}
	st, cs, err := k.stage(body, algorithm, sum)
	if err != nil {
		return nil, err
	}
	if in.ContentLength != nil && *in.ContentLength != st.segment.Size {
		k.blobs.discard(st)
		return nil, s3err.GetAPIError(s3err.ErrIncompleteBody)
	}
	p := part{Segment: st.segment, ETag: st.md5, Checksum: cs, CRC64: utils.Base64SumString(whole.Sum(nil)), Modified: k.now()}
	if err := k.savePart(name, key, id, *in.PartNumber, st, p); err != nil {
		return nil, err
	}
	out := &s3.UploadPartOutput{ETag: ptr(quote(p.ETag))}
	if shown {
		setChecksum(out, cs)
	}
	return out, nil
}

// mismatch refuses a part with another kind of checksum than its upload has.
func mismatch(want, got string) error {
	return s3err.GetChecksumTypeMismatchErr(types.ChecksumAlgorithm(strings.ToLower(want)), types.ChecksumAlgorithm(strings.ToLower(got)))
}

// nvme is the table of CRC64NVME.
var nvme = crc64hash.MakeTable(0x9a6c9329ac4bc9b5)

// trailing reads through r and knows what the chunked body c knows of its trailing checksum.
type trailing struct {
	io.Reader
	c middlewares.ChecksumReader
}

func (t trailing) Algorithm() string { return t.c.Algorithm() }
func (t trailing) Checksum() string  { return t.c.Checksum() }

// UploadPartCopy makes a part of an object, or of a range of it.
func (k *keeper) UploadPartCopy(ctx context.Context, in *s3.UploadPartCopyInput) (s3response.CopyPartResult, error) {
	var none s3response.CopyPartResult
	if err := k.ownedBy(in.ExpectedSourceBucketOwner); err != nil {
		return none, err
	}
	name, key, id := text(in.Bucket), text(in.Key), text(in.UploadId)
	u, err := k.upload(name, key, id)
	if err != nil {
		return none, err
	}
	var length int64
	src, err := k.openSource(text(in.CopySource), func(v *version) error {
		return k.copyIf(v, in.CopySourceIfMatch, in.CopySourceIfNoneMatch, in.CopySourceIfModifiedSince, in.CopySourceIfUnmodifiedSince)
	}, func(size int64) (offset, n int64, err error) {
		offset, length, err = sourceRange(size, text(in.CopySourceRange))
		if err == nil && length > maxCopy {
			err = s3err.GetCopySourceObjectTooLargeErr(maxCopy)
		}
		return offset, length, err
	})
	if err != nil {
		return none, err
	}
	defer func() { _ = src.body.Close() }()
	out, err := k.UploadPart(ctx, copiedPart(name, key, id, *in.PartNumber, src.body, u))
	if err != nil {
		return none, err
	}
	result := s3response.CopyPartResult{ETag: out.ETag, LastModified: k.now(), CopySourceVersionId: src.version.ID}
	algorithm, sum := givenChecksum(*out)
	setChecksum(&result, checksum{Algorithm: algorithm, Value: sum})
	return result, nil
}

var wholeRange = regexp.MustCompile(`^bytes=[0-9]+-[0-9]+$`)

// sourceRange reads x-amz-copy-source-range, which unlike Range has both ends.
func sourceRange(size int64, asked string) (offset, length int64, err error) {
	if asked != "" && !wholeRange.MatchString(asked) {
		return 0, 0, s3err.GetInvalidArgumentErr(s3err.InvalidArgCopySourceRange, asked)
	}
	offset, length, err = backend.ParseCopySourceRange(size, asked)
	if beyond := (s3err.InvalidArgumentError{}); errors.As(err, &beyond) && beyond.ArgumentName == "x-amz-copy-source-range" {
		beyond.ArgumentValue = asked
		err = beyond
	}
	if first, _, _ := strings.Cut(strings.TrimPrefix(asked, "bytes="), "-"); err != nil {
		if begin, e := strconv.ParseInt(first, 10, 64); e == nil && begin >= size {
			return 0, 0, s3err.APIError{Code: "InvalidRequest", HTTPStatusCode: http.StatusBadRequest, Description: "The specified copy range is invalid for the source object size"}
		}
	}
	return offset, length, err
}

// computed is a body whose checksum is computed here instead of given by a client.
type computed struct {
	*utils.HashReader
	algorithm string
}

func (c computed) Algorithm() string { return c.algorithm }
func (c computed) Checksum() string  { return c.Sum() }

func copiedPart(name, key, id string, number int32, body io.Reader, u *upload) *s3.UploadPartInput {
	if u.Checksum.Algorithm != "" {
		if h, err := utils.NewHashReader(body, "", hashType(u.Checksum.Algorithm)); err == nil {
			body = computed{h, u.Checksum.Algorithm}
		}
	}
	return &s3.UploadPartInput{Bucket: &name, Key: &key, UploadId: &id, PartNumber: &number, Body: body}
}

// CompleteMultipartUpload makes the parts that are named one object: nothing is
// copied, the object's segments are the parts.
func (k *keeper) CompleteMultipartUpload(ctx context.Context, in *s3.CompleteMultipartUploadInput) (s3response.CompleteMultipartUploadResult, string, error) {
	var none s3response.CompleteMultipartUploadResult
	name, key, id := text(in.Bucket), text(in.Key), text(in.UploadId)
	if in.MultipartUpload == nil {
		return none, "", s3err.GetAPIError(s3err.ErrInvalidRequest)
	}
	etag, err := backend.ComputeMultipartETagFromPartETags(in.MultipartUpload.Parts)
	if err != nil {
		return none, "", err
	}
	var v *version
	var unused []segment
	again := false
	err = k.index.update(func(tx *bbolt.Tx) error {
		u, t, err := uploadIn(tx, name, key, id)
		if err != nil {
			// A client that did not hear the answer completes again.
			if t != nil {
				if cur, _ := newest(tx.Bucket(tableObjects).Bucket([]byte(name)), key); live(cur) != nil && cur.UploadID == id {
					v, again = cur, true
					return nil
				}
			}
			return err
		}
		if err := u.mayComplete(tx, in, name, key); err != nil {
			return err
		}
		if v, err = u.assemble(in); err != nil {
			return err
		}
		v.ETag, v.Modified = strings.Trim(etag, `"`), k.now()
		replaced, err := k.add(tx, name, key, v, writeIf(in.IfMatch, in.IfNoneMatch))
		if err != nil {
			return err
		}
		left := u.unused(v)
		if err := removeSmall(tx, left); err != nil {
			return err
		}
		unused = append(replaced, left...)
		return t.Delete(uploadKey(key, id))
	})
	if err != nil {
		return none, "", err
	}
	k.blobs.removeFiles(unused)
	if !again {
		k.events.created(ctx, name, key, v, "CompleteMultipartUpload")
	}
	out := s3response.CompleteMultipartUploadResult{Bucket: &name, Key: &key, ETag: ptr(quote(v.ETag))}
	setChecksum(&out, v.Checksum)
	return out, shownVersion(v.ID), nil
}

// overtake marks the uploads of a key that is written or deleted.
func overtake(tx *bbolt.Tx, bucketName, key string) error {
	t := tx.Bucket(tableUploads).Bucket([]byte(bucketName))
	prefix := string(uploadKey(key, ""))
	changed := map[string]*upload{}
	c := t.Cursor()
	for rec, raw := c.Seek([]byte(prefix)); rec != nil && strings.HasPrefix(string(rec), prefix); rec, raw = c.Next() {
		u := &upload{}
		if err := store.UnsealJSON(rec, raw, u); err != nil {
			return fmt.Errorf("read upload of %q: %w", key, err)
		}
		if !u.Overtaken {
			u.Overtaken = true
			changed[string(rec)] = u
		}
	}
	for rec, u := range changed {
		if err := putJSON(t, []byte(rec), u); err != nil {
			return err
		}
	}
	return nil
}

// mayComplete holds a conditional completion to its condition, and to an object
// that nobody has touched since the upload began.
func (u *upload) mayComplete(tx *bbolt.Tx, in *s3.CompleteMultipartUploadInput, bucketName, key string) error {
	cur, err := newest(tx.Bucket(tableObjects).Bucket([]byte(bucketName)), key)
	if err != nil {
		return err
	}
	err = writeIf(in.IfMatch, in.IfNoneMatch)(live(cur))
	if err == nil && u.Overtaken && (in.IfMatch != nil || in.IfNoneMatch != nil) {
		e := s3err.PreconditionFailedError{Condition: s3err.ConditionIfMatch, APIError: s3err.APIError{Code: "ConditionalRequestConflict", HTTPStatusCode: http.StatusConflict,
			Description: "The conditional request cannot succeed due to a conflicting operation against this resource."}}
		if in.IfNoneMatch != nil {
			e.Condition = s3err.ConditionIfNoneMatch
		}
		return e
	}
	return err
}

// assemble verifies the named parts and makes the version that they form.
func (u *upload) assemble(in *s3.CompleteMultipartUploadInput) (*version, error) {
	if in.ChecksumType != "" && u.Checksum.Type != string(in.ChecksumType) {
		t := types.ChecksumType(u.Checksum.Type)
		if t == "" {
			t = "null"
		}
		return nil, s3err.GetChecksumTypeMismatchOnMpErr(t)
	}
	v := &version{UploadID: u.ID, Headers: u.Headers, Metadata: u.Metadata, Tags: u.Tags, Class: u.Class}
	parts := in.MultipartUpload.Parts
	chosen := make([]part, 0, len(parts))
	previous := int32(0)
	for _, asked := range parts {
		if asked.PartNumber == nil || asked.ETag == nil {
			return nil, s3err.GetAPIError(s3err.ErrMalformedXML)
		}
		if *asked.PartNumber < 1 {
			return nil, s3err.GetInvalidArgumentErr(s3err.InvalidArgCompleteMpPartNumber, strconv.Itoa(int(*asked.PartNumber)))
		}
		if *asked.PartNumber <= previous {
			return nil, telling(s3err.GetAPIError(s3err.ErrInvalidPartOrder), "UploadId", u.ID)
		}
		previous = *asked.PartNumber
		p, ok := u.Parts[previous]
		if !ok || !backend.AreEtagsSame(p.ETag, *asked.ETag) {
			return nil, s3err.GetInvalidPartErr(u.ID, previous, strings.Trim(*asked.ETag, `"`))
		}
		if err := u.checkSum(asked, p); err != nil {
			return nil, err
		}
		chosen = append(chosen, p)
		v.Segments = append(v.Segments, p.Segment)
		v.Size += p.Segment.Size
	}
	for i, p := range chosen[:max(0, len(chosen)-1)] {
		if p.Segment.Size < backend.MinPartSize {
			return nil, telling(s3err.GetEntityTooSmallErr(p.Segment.Size, backend.MinPartSize), "PartNumber", strconv.Itoa(int(*parts[i].PartNumber)), "ETag", p.ETag)
		}
	}
	if in.MpuObjectSize != nil && *in.MpuObjectSize != v.Size {
		return nil, s3err.GetIncorrectMpObjectSizeErr(*in.MpuObjectSize, v.Size)
	}
	var err error
	if v.Checksum, err = u.checksumOf(chosen); err != nil {
		return nil, err
	}
	if u.Checksum.Algorithm != "" {
		for _, p := range chosen {
			v.PartSums = append(v.PartSums, p.Checksum.Value)
		}
	}
	algorithm, sum := givenChecksum(*in)
	if u.Checksum.Type == string(types.ChecksumTypeFullObject) && algorithm != "" && (algorithm != v.Checksum.Algorithm || in.ChecksumType == "") {
		return nil, s3err.GetChecksumBadDigestErr(types.ChecksumAlgorithm(v.Checksum.Algorithm)) // without the type AWS takes it for a composite one
	}
	if algorithm == v.Checksum.Algorithm && u.Checksum.Type != "" {
		if u.Checksum.Type == string(types.ChecksumTypeComposite) && !strings.Contains(sum, "-") {
			sum = fmt.Sprintf("%s-%d", sum, len(chosen))
		}
		if sum != v.Checksum.Value {
			return nil, s3err.GetChecksumBadDigestErr(types.ChecksumAlgorithm(algorithm))
		}
	}
	return v, nil
}

// unused are the segments of parts that the completed object leaves out.
func (u *upload) unused(v *version) []segment {
	used := map[string]bool{}
	if v != nil {
		for _, s := range v.Segments {
			used[s.ID] = true
		}
	}
	var out []segment
	for _, p := range u.Parts {
		if !used[p.Segment.ID] {
			out = append(out, p.Segment)
		}
	}
	return out
}

func (k *keeper) AbortMultipartUpload(_ context.Context, in *s3.AbortMultipartUploadInput) error {
	name, key, id := text(in.Bucket), text(in.Key), text(in.UploadId)
	var gone []segment
	err := k.index.update(func(tx *bbolt.Tx) error {
		u, t, err := uploadIn(tx, name, key, id)
		if err != nil {
			return err
		}
		if in.IfMatchInitiatedTime != nil && in.IfMatchInitiatedTime.Unix() != u.Started.Unix() {
			return s3err.GetPreconditionFailedErr(s3err.ConditionIfMatch)
		}
		gone = u.unused(nil)
		if err := removeSmall(tx, gone); err != nil {
			return err
		}
		return t.Delete(uploadKey(key, id))
	})
	if err != nil {
		return err
	}
	k.blobs.removeFiles(gone)
	return nil
}

func (k *keeper) ListParts(_ context.Context, in *s3.ListPartsInput) (s3response.ListPartsResult, error) {
	name, key, id := text(in.Bucket), text(in.Key), text(in.UploadId)
	u, err := k.upload(name, key, id)
	if err != nil {
		return s3response.ListPartsResult{}, err
	}
	marker := 0
	if m := text(in.PartNumberMarker); m != "" {
		if marker, err = strconv.Atoi(m); err != nil {
			return s3response.ListPartsResult{}, s3err.GetInvalidArgMaxLimiter("part-number-marker", m)
		}
	}
	out := s3response.ListPartsResult{Bucket: name, Key: key, UploadID: id, StorageClass: types.StorageClass(shownClass(u.Class)), PartNumberMarker: marker, MaxParts: int(*in.MaxParts),
		ChecksumAlgorithm: types.ChecksumAlgorithm(u.Checksum.Algorithm), ChecksumType: types.ChecksumType(u.Checksum.Type),
		Owner: s3response.Owner{ID: k.account}, Initiator: k.initiator()}
	numbers := make([]int, 0, len(u.Parts))
	for n := range u.Parts {
		if int(n) > marker {
			numbers = append(numbers, int(n))
		}
	}
	sort.Ints(numbers)
	if len(numbers) > out.MaxParts {
		numbers, out.IsTruncated = numbers[:out.MaxParts], true
	}
	for _, n := range numbers {
		p := u.Parts[int32(n)]
		listed := s3response.Part{PartNumber: n, LastModified: p.Modified, ETag: quote(p.ETag), Size: p.Segment.Size}
		if u.Checksum.Algorithm != "" {
			setChecksum(&listed, p.Checksum)
		}
		out.Parts = append(out.Parts, listed)
		out.NextPartNumberMarker = n
	}
	return out, nil
}

func (k *keeper) initiator() s3response.Initiator {
	return s3response.Initiator{ID: k.account, DisplayName: "root"}
}

// ListMultipartUploads lists by key, and those of one key by their beginning. An
// id marker counts only beside a key marker, and must be an upload of that key.
func (k *keeper) ListMultipartUploads(ctx context.Context, in *s3.ListMultipartUploadsInput) (s3response.ListMultipartUploadsResult, error) {
	name := text(in.Bucket)
	q := query{prefix: text(in.Prefix), delimiter: text(in.Delimiter), after: text(in.KeyMarker), afterVersion: text(in.UploadIdMarker), whole: true, all: true}
	of, encoding, err := spelling(ctx)
	if err != nil {
		return s3response.ListMultipartUploadsResult{}, err
	}
	if q.after == "" {
		q.afterVersion = ""
	}
	out := s3response.ListMultipartUploadsResult{Bucket: name, Prefix: of(q.prefix), Delimiter: of(q.delimiter), KeyMarker: of(q.after),
		UploadIDMarker: q.afterVersion, MaxUploads: int(*in.MaxUploads), EncodingType: string(encoding)}
	err = k.index.view(func(tx *bbolt.Tx) error {
		if _, err := getBucket(tx, name); err != nil {
			return err
		}
		t := tx.Bucket(tableUploads).Bucket([]byte(name))
		if q.afterVersion != "" && t.Get(uploadKey(q.after, q.afterVersion)) == nil {
			return invalidArgument("Invalid uploadId marker", "upload-id-marker", q.afterVersion)
		}
		from := q.start()
		if from == nil {
			return nil
		}
		seen := ""
		c := t.Cursor()
		for rec, raw := c.Seek(from); rec != nil && strings.HasPrefix(string(rec), q.prefix); rec, raw = c.Next() {
			var u upload
			if err := store.UnsealJSON(rec, raw, &u); err != nil {
				return err
			}
			if u.Key == q.after && u.ID <= q.afterVersion {
				continue
			}
			common, under := q.common(u.Key)
			if under && common == seen {
				continue
			}
			if len(out.Uploads)+len(out.CommonPrefixes) == out.MaxUploads {
				out.IsTruncated = out.MaxUploads > 0
				return nil
			}
			if under {
				seen = common
				out.CommonPrefixes = append(out.CommonPrefixes, s3response.CommonPrefix{Prefix: of(common)})
				continue
			}
			out.Uploads = append(out.Uploads, s3response.Upload{Key: of(u.Key), UploadID: u.ID, Initiated: u.Started, StorageClass: types.StorageClass(shownClass(u.Class)),
				ChecksumAlgorithm: types.ChecksumAlgorithm(u.Checksum.Algorithm), ChecksumType: types.ChecksumType(u.Checksum.Type),
				Owner: s3response.Owner{ID: k.account}, Initiator: k.initiator()})
			out.NextKeyMarker, out.NextUploadIDMarker = of(u.Key), u.ID
		}
		return nil
	})
	return out, err
}
