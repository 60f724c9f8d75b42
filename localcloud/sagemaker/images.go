package sagemaker

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// images finds the program that stands for a container image. An image named by
// digest runs exactly the program with that SHA-256: each one run is kept, so
// that an older version still runs after a rebuild, as it would from ECR.
type images struct {
	programs map[string]string // repository name → program
	dir      string
	mu       sync.Mutex
}

// repository splits an image URI: registry/name:tag or registry/name@sha256:digest.
func repository(uri string) (name, digest string) {
	name = uri
	if i := strings.Index(name, "/"); i >= 0 && strings.ContainsAny(name[:i], ".:") {
		name = name[i+1:]
	}
	name, digest, _ = strings.Cut(name, "@")
	if i := strings.LastIndex(name, ":"); i > strings.LastIndex(name, "/") {
		name = name[:i]
	}
	return name, strings.TrimPrefix(digest, "sha256:")
}

// find returns the program to run for an image and the folder that stands for
// the image's file system.
func (m *images) find(uri string) (program, folder string, err error) {
	name, digest := repository(uri)
	mapped, ok := m.programs[name]
	if !ok {
		known := slices.Sorted(maps.Keys(m.programs))
		return "", "", blame("The image %s cannot be run: the local cloud has no program for the repository %q (it has: %s)", uri, name, strings.Join(known, ", "))
	}
	folder = filepath.Dir(mapped)
	if digest == "" {
		if _, err := os.Stat(mapped); err != nil {
			return "", "", blame("The image %s cannot be run: %v", uri, err)
		}
		return mapped, folder, nil
	}
	program, err = m.pinned(mapped, digest, uri)
	return program, folder, err
}

func (m *images) pinned(mapped, digest, uri string) (string, error) {
	if raw, err := hex.DecodeString(digest); err != nil || len(raw) != sha256.Size {
		return "", blame("The image %s has an invalid digest", uri)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := filepath.Join(m.dir, "images", "sha256-"+digest)
	if _, err := os.Stat(kept); err == nil {
		return kept, nil
	}
	if err := os.MkdirAll(filepath.Dir(kept), 0o700); err != nil {
		return "", fmt.Errorf("keep image: %w", err)
	}
	got, err := copyProgram(mapped, kept+".new")
	if err != nil {
		return "", blame("The image %s cannot be run: %v", uri, err)
	}
	if got != digest {
		_ = os.Remove(kept + ".new")
		return "", blame("The image %s is not here: the program of its repository has the digest sha256:%s", uri, got)
	}
	if err := os.Rename(kept+".new", kept); err != nil {
		return "", fmt.Errorf("keep image: %w", err)
	}
	return kept, nil
}

// copyProgram copies a program and returns its SHA-256 in hex.
func copyProgram(from, to string) (digest string, err error) {
	in, err := os.Open(from)
	if err != nil {
		return "", err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o755)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(io.MultiWriter(out, h), in); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// command is the program and arguments for an image, an entrypoint (may be
// empty: the image's own) and arguments.
func (m *images) command(uri string, entrypoint, args []string) (program string, argv []string, err error) {
	program, folder, err := m.find(uri)
	if err != nil || len(entrypoint) == 0 {
		return program, args, err
	}
	argv = append(append([]string{}, entrypoint[1:]...), args...)
	name, _ := repository(uri)
	if first := entrypoint[0]; first == "/worker" || first == "/"+filepath.Base(m.programs[name]) {
		return program, argv, nil
	}
	local, err := filepath.Localize(strings.TrimPrefix(entrypoint[0], "/"))
	if err == nil {
		local = filepath.Join(folder, local)
		_, err = os.Stat(local)
	}
	if err != nil {
		return "", nil, blame("The entrypoint %q of the image %s cannot be run: it is not in the folder of the image's program", entrypoint[0], uri)
	}
	return local, argv, nil
}
