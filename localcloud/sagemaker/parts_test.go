package sagemaker_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/localcloud/sagemaker"
)

func tarball(t testing.TB, entries ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, h := range entries {
		body := strings.Repeat("x", int(h.Size))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestUnpackIsSafe(t *testing.T) {
	file := func(name string, size int64) tar.Header {
		return tar.Header{Name: name, Size: size, Mode: 0o644, Typeflag: tar.TypeReg}
	}
	link := func(kind byte, name, target string) tar.Header {
		return tar.Header{Name: name, Linkname: target, Mode: 0o777, Typeflag: kind}
	}
	for name, tt := range map[string]struct {
		archive []byte
		want    string // of the error; "" is none
	}{
		"plain":         {tarball(t, tar.Header{Name: "./", Typeflag: tar.TypeDir, Mode: 0o755}, file("./a/b", 3), file("c", 0)), ""},
		"link inside":   {tarball(t, file("a/b", 3), link(tar.TypeSymlink, "a/c", "b"), link(tar.TypeLink, "d", "a/b")), ""},
		"parent":        {tarball(t, file("../evil", 1)), "leaves the archive"},
		"inner parent":  {tarball(t, file("a/../../evil", 1)), "leaves the archive"},
		"absolute":      {tarball(t, file("/evil", 1)), "leaves the archive"},
		"absolute link": {tarball(t, link(tar.TypeSymlink, "a", "/etc")), "leaves the archive"},
		"link out":      {tarball(t, link(tar.TypeSymlink, "a/b", "../../etc")), "leaves the archive"},
		"hard link out": {tarball(t, link(tar.TypeLink, "a", "../evil")), "leaves the archive"},
		"through links": {tarball(t, link(tar.TypeSymlink, "sub/up", ".."), link(tar.TypeSymlink, "x", "sub/up/.."), file("x/evil", 1)), ""},
		"link by links": {tarball(t, link(tar.TypeSymlink, "sub/up", ".."), link(tar.TypeSymlink, "x", "sub/up/..")), "leaves the archive"},
		"link in links": {tarball(t, link(tar.TypeSymlink, "a/b", ".."), link(tar.TypeSymlink, "a/b/x", "../../etc/passwd")), "leaves the archive"},
		"link to later": {tarball(t, link(tar.TypeSymlink, "a/b", "c"), file("a/c", 1), link(tar.TypeSymlink, "none", "nothing")), ""},
		"device":        {tarball(t, tar.Header{Name: "dev", Typeflag: tar.TypeChar}), "unsupported kind"},
		"too large":     {tarball(t, file("a", 600), file("b", 600)), "unpacks to more than 1000 bytes"},
		"twice":         {tarball(t, file("a", 1), file("a", 1)), "exists"},
		"not gzip":      {[]byte("PK"), "not a gzip file"},
		"not tar":       {gzipped(t, "this is no tar archive at all"), "not a tar file"},
		"truncated":     {tarball(t, file("a", 900))[:40], "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			dir := filepath.Join(parent, "deep", "model")
			err := sagemaker.Unpack(bytes.NewReader(tt.archive), dir, 1000)
			if tt.want == "" && err != nil && name != "through links" || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			outside(t, parent)
		})
	}
}

func gzipped(t testing.TB, text string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// outside fails when anything was written outside parent/deep/model.
func outside(t testing.TB, parent string) {
	t.Helper()
	for dir, want := range map[string]string{parent: "deep", filepath.Join(parent, "deep"): "model"} {
		entries, err := os.ReadDir(dir)
		for _, e := range entries {
			if e.Name() != want {
				t.Errorf("%s was written outside the archive's folder", filepath.Join(dir, e.Name()))
			}
		}
		if err != nil && !os.IsNotExist(err) {
			t.Error(err)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add("a/b", "b", byte(tar.TypeSymlink), "a/b/c")
	f.Add("x", "..", byte(tar.TypeSymlink), "x/evil")
	f.Add("x", "../..", byte(tar.TypeLink), "y/../../z")
	f.Fuzz(func(t *testing.T, link, target string, kind byte, file string) {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		w := tar.NewWriter(z)
		_ = w.WriteHeader(&tar.Header{Name: link, Linkname: target, Typeflag: kind, Mode: 0o755})
		_ = w.WriteHeader(&tar.Header{Name: file, Typeflag: tar.TypeReg, Mode: 0o644})
		_ = w.Close()
		_ = z.Close()
		parent := t.TempDir()
		_ = sagemaker.Unpack(&b, filepath.Join(parent, "deep", "model"), 1<<20)
		outside(t, parent)
	})
}

func TestFilters(t *testing.T) {
	for name, tt := range map[string]struct{ filter, in, want string }{
		"object":        {"$.a", `{"a":{"b":1.50}}`, `{"b":1.50}`},
		"deep":          {"$.a['b']", `{"a":{"b":1.50}}`, `1.50`},
		"element":       {"$[1]", `[1,2,3]`, `2`},
		"last":          {"$[-1]", `[1,2,3]`, `3`},
		"elements":      {"$[0,-1]", `[1,2,3]`, `[1,3]`},
		"range":         {"$[1:]", `[1,2,3]`, `[2,3]`},
		"end range":     {"$[:-1]", `[1,2,3]`, `[1,2]`},
		"beyond":        {"$[2:9]", `[1,2,3]`, `[3]`},
		"comma in name": {"$['a,b','c']", `{"c":2,"a,b":1}`, `{"a,b":1,"c":2}`},
		"colon in name": {"$['a:b']", `{"a:b":1}`, `1`},
		"not there":     {"$.x", `{"a":1}`, "!no member"},
		"out of range":  {"$[7]", `[1]`, "!position 7 is outside"},
		"no object":     {"$.a", `[1]`, "!not an object"},
		"no array":      {"$[0]", `{"a":1}`, "!not an array"},
		"wildcard":      {"$.*", `{"a":1}`, "!unsupported"},
		"descendant":    {"$..a", `{"a":1}`, "!unsupported"},
		"filter":        {"$[?(@.a)]", `[1]`, "!bad position"},
		"open bracket":  {"$[1", `[1]`, "![ without ]"},
		"junk":          {"$a", `[1]`, "!unexpected"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := sagemaker.FilterJSON(tt.filter, []byte(tt.in))
			if want, bad := strings.CutPrefix(tt.want, "!"); bad {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s %v, want %q", got, err, want)
				}
			} else if err != nil || string(got) != tt.want {
				t.Errorf("%s %v, want %s", got, err, tt.want)
			}
		})
	}
}

func FuzzFilter(f *testing.F) {
	f.Add("$[0,-1]", "a,\"b,c\",d", `[1,{"a":2}]`)
	f.Add("$['id'].x[1:]", "", `{"id":{"x":[1,2]}}`)
	f.Fuzz(func(t *testing.T, filter, line, doc string) {
		if out, err := sagemaker.FilterCSV(filter, []byte(line)); err == nil && filter == "$" && string(out) != line {
			t.Errorf("$ changed %q to %q", line, out)
		}
		_, _ = sagemaker.FilterJSON(filter, []byte(doc))
		_, _ = sagemaker.JoinJSON([]byte(doc), []byte(line))
	})
}

func TestRepository(t *testing.T) {
	for uri, want := range map[string][2]string{
		"000000000000.dkr.ecr.us-east-1.amazonaws.com/millrace-worker@sha256:ab": {"millrace-worker", "ab"},
		"683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1":   {"sagemaker-xgboost", ""},
		"localhost:5000/team/tool":        {"team/tool", ""},
		"plain":                           {"plain", ""},
		"team/tool:1":                     {"team/tool", ""},
		"x.amazonaws.com/a:tag@sha256:cd": {"a", "cd"},
	} {
		if name, digest := sagemaker.Repository(uri); name != want[0] || digest != want[1] {
			t.Errorf("%s is %q %q, want %v", uri, name, digest, want)
		}
	}
}
