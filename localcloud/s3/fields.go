package s3

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"reflect"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/valyala/fasthttp"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"
	"github.com/versity/versitygw/s3err"
)

func ptr[T any](v T) *T { return &v }

// invalidArgument names the argument that is wrong, as S3 does.
func invalidArgument(message, name, value string) error {
	return s3err.InvalidArgumentError{Description: message, ArgumentName: name, ArgumentValue: value}
}

// told is an error with members that the gateway's has not.
type told struct {
	s3err.S3Error
	members []byte
}

func (e told) XMLBody(requestID, hostID string) []byte {
	return bytes.Replace(e.S3Error.XMLBody(requestID, hostID), []byte("<RequestId>"), append(e.members, "<RequestId>"...), 1)
}

// telling gives an error members: name, value, name, value …
func telling(err s3err.S3Error, members ...string) error {
	var b bytes.Buffer
	for i := 0; i < len(members); i += 2 {
		b.WriteString("<" + members[i] + ">")
		_ = xml.EscapeText(&b, []byte(members[i+1])) // a buffer takes all
		b.WriteString("</" + members[i] + ">")
	}
	return told{err, b.Bytes()}
}

func invalidTag(message, key string) error {
	return s3err.InvalidTagError{APIError: s3err.APIError{Code: "InvalidTag", Description: message, HTTPStatusCode: http.StatusBadRequest}, TagKey: key}
}

// asked is a header of the request, which the gateway does not hand on; "" when
// it has none, or when there is no request.
func asked(ctx context.Context, name string) string {
	if r, ok := ctx.(*fasthttp.RequestCtx); ok {
		return string(r.Request.Header.Peek(name))
	}
	return ""
}

// classOf is the storage class that a request asks for, "" for STANDARD.
func classOf(ctx context.Context) string {
	if class := asked(ctx, "X-Amz-Storage-Class"); class != string(types.StorageClassStandard) {
		return class
	}
	return ""
}

// shownClass is a storage class as answers have it.
func shownClass(class string) string {
	if class == "" {
		return string(types.StorageClassStandard)
	}
	return class
}

// decoded are a request's metadata: those in RFC 2047's writing that need none are
// kept plain, as AWS does; but not what a form sent.
func decoded(ctx context.Context, m map[string]string) map[string]string {
	out := cloneMap(m)
	if asked(ctx, formReason) != "" {
		return out
	}
	for name, value := range out {
		plain, err := new(mime.WordDecoder).DecodeHeader(value)
		if err == nil && plain != value && !strings.ContainsFunc(plain, func(r rune) bool { return r < ' ' || r > '~' }) {
			out[name] = plain
		}
	}
	return out
}

// mailed are metadata as headers may have them.
func mailed(m map[string]string) map[string]string {
	out := maps.Clone(m)
	for name, value := range out {
		out[name] = mailSafe(value)
	}
	return out
}

// parseTags reads an x-amz-tagging header.
func parseTags(header string) (map[string]string, error) {
	seen := map[string]bool{}
	for pair := range strings.SplitSeq(header, "&") {
		key, value, _ := strings.Cut(pair, "=")
		if pair != "" && (seen[key] || strings.Contains(value, "=")) {
			return nil, invalidArgument("The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.", "x-amz-tagging", header)
		}
		seen[key] = true
	}
	tags, err := backend.ParseObjectTags(header)
	for key := range tags {
		if strings.HasPrefix(key, "aws:") {
			return nil, invalidTag("Your TagKey cannot be prefixed with aws:", strings.Clone(key))
		}
	}
	return cloneMap(tags), err
}

// trimmed is an ETag without its quotes.
func trimmed(etag *string) *string {
	if etag == nil {
		return nil
	}
	return ptr(strings.Trim(*etag, `"`))
}

func quote(etag string) string { return `"` + etag + `"` }

// shownVersion is the id that a write answers with: none for the null version.
func shownVersion(id string) string {
	if id == nullVersion {
		return ""
	}
	return id
}

// count is a tag count, nil for none.
func count(m map[string]string) *int32 {
	if len(m) == 0 {
		return nil
	}
	return ptr(int32(len(m)))
}

// headerFields are an object's system headers, in the order of headerNames.
type headerFields [7]*string

const redirectHeader = "website-redirect-location"

var headerNames = [7]string{"content-type", "content-encoding", "content-disposition", "content-language", "cache-control", "expires", redirectHeader}

func headers(fields headerFields) map[string]string {
	out := map[string]string{}
	for i, f := range fields {
		value := text(f)
		if headerNames[i] == "content-encoding" {
			value = withoutChunked(value)
		}
		if value != "" {
			out[headerNames[i]] = value
		}
	}
	return out
}

// withoutChunked drops the transfer's own encoding, which AWS does not keep either.
func withoutChunked(encoding string) string {
	kept := []string{}
	for e := range strings.SplitSeq(encoding, ",") {
		if e = strings.TrimSpace(e); e != "" && e != "aws-chunked" {
			kept = append(kept, e)
		}
	}
	return strings.Join(kept, ",")
}

func header(v *version, name string) *string {
	value, ok := v.Headers[name]
	if !ok {
		return nil
	}
	return &value
}

// checksumAlgorithms are S3's, as they end the names of SDK members.
var checksumAlgorithms = []string{"CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME", "SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128"}

// givenChecksum finds the checksum that an SDK struct carries, if any.
func givenChecksum(in any) (algorithm, sum string) {
	v := reflect.ValueOf(in)
	for _, a := range checksumAlgorithms {
		f := v.FieldByName("Checksum" + a)
		if f.IsValid() && !f.IsNil() {
			return a, strings.Clone(f.Elem().String())
		}
	}
	return "", ""
}

// setChecksum writes a checksum and its type into the members of an SDK struct.
func setChecksum(out any, c checksum) {
	if c.Value == "" {
		return
	}
	v := reflect.ValueOf(out).Elem()
	if f := v.FieldByName("Checksum" + c.Algorithm); f.IsValid() {
		value := c.Value
		f.Set(reflect.ValueOf(&value))
	}
	f := v.FieldByName("ChecksumType")
	switch {
	case !f.IsValid():
	case f.Kind() == reflect.Pointer:
		p := reflect.New(f.Type().Elem())
		p.Elem().SetString(c.Type)
		f.Set(p)
	default:
		f.SetString(c.Type)
	}
}

const crc64 = "CRC64NVME"

func hashType(algorithm string) utils.HashType { return utils.HashType(strings.ToLower(algorithm)) }

// stage receives a body, verifying the checksum that came with it (in a header,
// or at the end of a chunked body); without one it is CRC64NVME, as on AWS.
func (k *keeper) stage(body io.Reader, algorithm, sum string) (*staged, checksum, error) {
	if trailing, ok := body.(middlewares.ChecksumReader); ok && trailing.Algorithm() != "" {
		st, err := k.blobs.receive(body)
		if err != nil {
			return nil, checksum{}, err
		}
		return st, checksum{Algorithm: strings.ToUpper(trailing.Algorithm()), Value: strings.Clone(trailing.Checksum())}, nil
	}
	if algorithm == "" {
		algorithm = crc64
	}
	algorithm = strings.ToUpper(algorithm)
	hashed, err := utils.NewHashReader(body, sum, hashType(algorithm))
	if err != nil {
		return nil, checksum{}, fmt.Errorf("verify body with %s: %w", algorithm, err)
	}
	st, err := k.blobs.receive(hashed)
	if err != nil {
		return nil, checksum{}, err
	}
	return st, checksum{Algorithm: algorithm, Value: hashed.Sum()}, nil
}
