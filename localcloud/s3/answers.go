package s3

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// unended are messages that AWS writes without the full stop that the gateway
// ends them with.
var unended = []string{
	"A header you provided implies functionality that is not implemented",
	"Access Denied",
	"Part number must be an integer between 1 and 10000, inclusive",
	"The bucket does not allow ACLs",
	"The requested partnumber is not satisfiable",
	"At least one of the pre-conditions you specified did not hold",
	"Object Lock configuration does not exist for this bucket",
	"Request has expired",
	"The CORS configuration does not exist",
	"The TagSet does not exist",
	"The XML you provided was not well-formed or did not validate against our published schema",
	"The bucket ownership controls were not found",
	"The bucket policy does not exist",
	"The bucket you tried to delete is not empty",
	"The specified bucket does not exist",
}

// reworded are other messages that AWS puts in other words.
var reworded = map[string]string{
	"The specified multipart upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.": "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or completed.",
	"The Content-Md5 you specified is not valid.": "The Content-MD5 you specified was invalid.",
	`don\&#39;t`: "don&#39;t",
	"Your proposed upload exceeds the maximum allowed object size.": "Your proposed upload exceeds the maximum allowed size",
}

// absent are members that AWS leaves out where the gateway writes them empty.
var absent = []string{"ChecksumAlgorithm", "ChecksumType", "Delimiter", "DisplayName", "EncodingType"}

// partsCount is the header that carries the count of an object's parts past the
// gateway, whose answer has no place for it.
const partsCount = "X-Local-Parts-Count"

// partsOnly is the header that says that the count is all that is told of parts.
const partsOnly = "X-Local-Parts-Only"

// attributeElements are the attributes of an object, in AWS's order.
var attributeElements = func() (all []*regexp.Regexp) {
	for _, name := range []string{"ETag", "Checksum", "ObjectParts", "StorageClass", "ObjectSize"} {
		all = append(all, regexp.MustCompile("<"+name+">.*</"+name+">"))
	}
	return all
}()

// correctAttributes gives the attributes of an object the count of its parts, "" for
// none, and AWS's order.
func correctAttributes(body []byte, count string, only bool) []byte {
	var inner []byte
	for _, element := range attributeElements {
		found := element.Find(body)
		if bytes.HasPrefix(found, []byte("<ObjectParts>")) {
			rest := found[len("<ObjectParts>"):]
			if only {
				rest = []byte("</ObjectParts>")
			}
			found = fmt.Appendf(nil, "<ObjectParts><PartsCount>%s</PartsCount>%s", count, rest)
		}
		inner = append(inner, found...)
	}
	return fmt.Appendf(nil, xml.Header+"<GetObjectAttributesResponse%s>%s</GetObjectAttributesResponse>", xmlns, inner)
}

// maxAnswer is more than the longest listing takes, in bytes.
const maxAnswer = 16 << 20

// correct gives the gateway's answer what AWS's has, and takes what it has not:
// clients show messages, and look whether a member is there.
func correct(r *http.Response) error {
	path, query := r.Request.URL.Path, r.Request.URL.Query()
	_, key, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if r.StatusCode >= http.StatusBadRequest {
		if r.Request.Method == http.MethodHead {
			return nil
		}
		return rewrite(r, func(body []byte) []byte {
			if query.Has("uploadId") {
				body = inBase64(body)
			}
			return correctError(body, missingKey(r.Request, key))
		})
	}
	if at, err := time.Parse(time.ANSIC, r.Header.Get("Last-Modified")); err == nil { // of GetObjectAttributes
		r.Header.Set("Last-Modified", at.UTC().Format(http.TimeFormat))
	}
	if r.Request.Method == http.MethodGet && key != "" && query.Has("acl") {
		return rewrite(r, correctACL)
	}
	if r.Request.Method == http.MethodGet && query.Has("tagging") {
		return rewrite(r, sortTags)
	}
	if r.Header.Get("X-Amz-Storage-Class") == "STANDARD" {
		r.Header.Del("X-Amz-Storage-Class")
	}
	if key != "" && r.StatusCode < http.StatusMultipleChoices && isObject(r.Request.Method, query) {
		// Every bucket is encrypted so, unless it was put to another: which is refused.
		r.Header.Set("X-Amz-Server-Side-Encryption", "AES256")
	}
	if r.Request.Method == http.MethodHead && key == "" {
		r.Header.Set("X-Amz-Bucket-Arn", bucketARN(strings.Trim(path, "/")))
		r.Header.Set("Content-Type", "application/xml")
	}
	if r.Request.Method == http.MethodGet && query.Has("attributes") {
		count, only := r.Header.Get(partsCount), r.Header.Get(partsOnly) != ""
		r.Header.Del(partsCount)
		r.Header.Del(partsOnly)
		return rewrite(r, func(body []byte) []byte { return correctAttributes(body, count, only) })
	}
	if r.Request.Method == http.MethodGet && (key == "" || query.Has("uploadId")) {
		return rewrite(r, func(body []byte) []byte { return correctList(body, path == "/", query) })
	}
	if query.Has("uploadId") || r.Request.Header.Get("X-Amz-Copy-Source") != "" {
		return rewrite(r, inMillis)
	}
	return nil
}

var bucketName = regexp.MustCompile(`<Name>([^<]*)</Name>`)

// regionShown are the parameters with which a list of buckets tells their region.
var regionShown = []string{"bucket-region", "continuation-token", "max-buckets", "prefix"}

// correctList corrects the answer of a GET that is no object's.
func correctList(body []byte, buckets bool, query url.Values) []byte {
	for _, name := range absent {
		body = bytes.ReplaceAll(body, []byte("<"+name+"></"+name+">"), nil)
	}
	if query.Has("uploads") && query.Get("prefix") == "" {
		body = bytes.Replace(body, []byte("<Prefix></Prefix>"), nil, 1)
	}
	if query.Has("location") {
		body = bytes.Replace(body, []byte("></LocationConstraint>"), []byte("/>"), 1)
	}
	if buckets {
		body = bucketName.ReplaceAll(body, []byte("<Name>$1</Name><BucketArn>arn:aws:s3:::$1</BucketArn>"))
		if !slices.ContainsFunc(regionShown, query.Has) {
			body = bucketRegion.ReplaceAll(body, nil)
		}
	}
	return inMillis(body)
}

var bucketRegion = regexp.MustCompile(`<BucketRegion>[^<]*</BucketRegion>`)

// inMillis writes times with the milliseconds that AWS's have: always none.
func inMillis(body []byte) []byte {
	for _, name := range []string{"CreationDate", "Initiated", "LastModified"} {
		body = bytes.ReplaceAll(body, []byte("Z</"+name+">"), []byte(".000Z</"+name+">"))
	}
	return body
}

var tagElement = regexp.MustCompile(`<Tag>.*?</Tag>`)

// sortTags puts tags into the order of their keys: the gateway has none.
func sortTags(body []byte) []byte {
	tags := tagElement.FindAll(body, -1)
	if len(tags) < 2 {
		return body
	}
	slices.SortFunc(tags, func(a, b []byte) int {
		keyA, _, _ := bytes.Cut(a, []byte("</Key>"))
		keyB, _, _ := bytes.Cut(b, []byte("</Key>"))
		return bytes.Compare(keyA, keyB)
	})
	first, last := bytes.Index(body, []byte("<Tag>")), bytes.LastIndex(body, []byte("</Tag>"))
	return slices.Concat(body[:first], bytes.Join(tags, nil), body[last+len("</Tag>"):])
}

// inBase64 writes the digest that a part should have had as AWS does, which of an
// object it writes in hex.
func inBase64(body []byte) []byte {
	m := hexDigest.FindSubmatch(body)
	if m == nil {
		return body
	}
	sum, err := hex.DecodeString(string(m[1]))
	if err != nil {
		return body
	}
	return bytes.Replace(body, m[0], fmt.Appendf(nil, "<ExpectedDigest>%s</ExpectedDigest>", base64.StdEncoding.EncodeToString(sum)), 1)
}

var hexDigest = regexp.MustCompile(`<ExpectedDigest>([0-9a-f]{32})</ExpectedDigest>`)

// isObject tells whether a request writes or reads an object or a part, and not
// something about it.
func isObject(method string, query url.Values) bool {
	for _, about := range []string{"tagging", "acl", "attributes", "retention", "legal-hold"} {
		if query.Has(about) {
			return false
		}
	}
	return method != http.MethodDelete && (method != http.MethodGet || !query.Has("uploadId"))
}

// missingKey is the key that a NoSuchKey is about: the source's, in a copy.
func missingKey(r *http.Request, key string) string {
	if r.Method == http.MethodGet && r.URL.Query().Has("tagging") {
		return strings.TrimPrefix(r.URL.Path, "/") // AWS has the bucket in it, here alone
	}
	source := r.Header.Get("X-Amz-Copy-Source")
	if source == "" || r.Header.Get("If-Match") != "" {
		return key
	}
	source, _, _ = strings.Cut(source, "?versionId=")
	if plain, err := url.PathUnescape(source); err == nil {
		source = plain
	}
	_, key, _ = strings.Cut(strings.TrimPrefix(source, "/"), "/")
	return key
}

var aclOwner = regexp.MustCompile(`<ID>([^<]*)</ID>`)

// correctACL writes an object's ACL, which has the owner's grant alone, in the
// form of S3: the gateway's is that of the SDK's structure.
func correctACL(body []byte) []byte {
	owner := aclOwner.FindSubmatch(body)
	if owner == nil {
		return body
	}
	return fmt.Appendf(nil, xml.Header+`<AccessControlPolicy%s><Owner><ID>%s</ID></Owner><AccessControlList><Grant>`+
		`<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"><ID>%s</ID></Grantee>`+
		`<Permission>FULL_CONTROL</Permission></Grant></AccessControlList></AccessControlPolicy>`, xmlns, owner[1], owner[1])
}

func correctError(body []byte, key string) []byte {
	for _, m := range unended {
		body = bytes.Replace(body, []byte("<Message>"+m+".</Message>"), []byte("<Message>"+m+"</Message>"), 1)
	}
	for theirs, ours := range reworded {
		body = bytes.Replace(body, []byte(theirs), []byte(ours), 1)
	}
	if key != "" && (bytes.Contains(body, []byte("<Code>NoSuchKey</Code>")) || bytes.Contains(body, []byte("<Code>ConditionalRequestConflict</Code>"))) && !bytes.Contains(body, []byte("<Key>")) {
		var name bytes.Buffer
		if err := xml.EscapeText(&name, []byte(key)); err == nil {
			body = bytes.Replace(body, []byte("</Message>"), fmt.Appendf(nil, "</Message><Key>%s</Key>", &name), 1)
		}
	}
	return body
}

// rewrite replaces the body of an answer in XML.
func rewrite(r *http.Response, f func([]byte) []byte) error {
	if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/xml") {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("read answer of the S3 gateway: %w", err)
	}
	if err := r.Body.Close(); err != nil {
		return fmt.Errorf("read answer of the S3 gateway: %w", err)
	}
	body = f(body)
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}
