package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/millrace-ml/millrace/shared/runs"
)

// uploaded is one file that was uploaded.
type uploaded struct {
	File      string `json:"file"`
	URI       string `json:"uri"`
	VersionID string `json:"version_id"`
	Bytes     int64  `json:"bytes"`
}

func runUpload(ctx context.Context, c *cli, args []string) error {
	fs := c.cloudFlags("upload", "PIPELINE FILE…", "Uploads rows to learn from, or with --score rows to score. The upload starts a run by itself.")
	score := fs.Bool("score", false, "the rows are to be scored")
	rest, err := parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) < 2 {
		return &usageError{"which pipeline, and which files?"}
	}
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	if !slices.Contains(s.pipelines, rest[0]) { // others may know better: it is told, not refused
		c.say("no pipeline is called %q here (those that are: %s): the upload will be kept, and refused", rest[0], strings.Join(s.pipelines, ", "))
	}
	folder := runs.RawFolder
	if *score {
		folder = runs.ScoreFolder
	}
	var done []uploaded
	for _, file := range rest[1:] {
		u, err := s.upload(ctx, rest[0], folder, file)
		if err != nil {
			return err
		}
		done = append(done, u)
	}
	return c.print(done, func(w io.Writer) {
		for _, u := range done {
			fmt.Fprintf(w, "%s  (%s bytes, version %s)\n", u.URI, grouped(u.Bytes), u.VersionID)
		}
	})
}

func (s *session) upload(ctx context.Context, pipeline, folder, file string) (uploaded, error) {
	f, err := os.Open(file)
	if err != nil {
		return uploaded{}, fmt.Errorf("upload: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return uploaded{}, fmt.Errorf("upload: %w", err)
	}
	if info.IsDir() {
		return uploaded{}, fmt.Errorf("upload %s: it is a folder (hint: name the files in it)", file)
	}
	key := pipeline + "/" + folder + "/" + filepath.Base(file)
	out, err := s.s3.PutObject(ctx, &s3.PutObjectInput{Bucket: &s.dataBucket, Key: &key, Body: f})
	if err != nil {
		return uploaded{}, fmt.Errorf("upload %s: %w", file, err)
	}
	return uploaded{File: file, URI: "s3://" + s.dataBucket + "/" + key, VersionID: aws.ToString(out.VersionId), Bytes: info.Size()}, nil
}
