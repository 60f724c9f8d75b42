package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker"
	"github.com/aws/aws-sdk-go-v2/service/sagemaker/types"
)

// modelLine is a version in the list.
type modelLine struct {
	Pipeline  string    `json:"pipeline"`
	Version   int       `json:"version"`
	Approval  string    `json:"approval"`
	InService bool      `json:"in_service"`
	Created   time.Time `json:"created"`
	ARN       string    `json:"arn"`
	About     string    `json:"about"`
}

func runModels(ctx context.Context, c *cli, args []string) error {
	fs := c.cloudFlags("models", "[PIPELINE]", "Lists versions of models, newest first, and which is in service.")
	rest, err := parse(fs, args)
	if err != nil {
		return err
	}
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		rest = s.pipelines
	}
	lines := []modelLine{}
	for _, p := range rest {
		if err := s.known(p); err != nil {
			return err
		}
		l, err := s.models(ctx, p)
		if err != nil {
			return err
		}
		lines = append(lines, l...)
	}
	return c.print(lines, func(w io.Writer) {
		if len(lines) == 0 {
			c.say("there is no version yet")
			return
		}
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		fmt.Fprintln(t, "VERSION\tAPPROVAL\tIN SERVICE\tABOUT")
		for _, l := range lines {
			in := ""
			if l.InService {
				in = "yes"
			}
			fmt.Fprintf(t, "%s/%d\t%s\t%s\t%s\n", l.Pipeline, l.Version, l.Approval, in, l.About)
		}
		t.Flush()
	})
}

func (s *session) models(ctx context.Context, pipeline string) ([]modelLine, error) {
	serving, found, err := s.ledger.InService(ctx, pipeline)
	if err != nil {
		return nil, err
	}
	var lines []modelLine
	in := &sagemaker.ListModelPackagesInput{ModelPackageGroupName: &pipeline, SortBy: types.ModelPackageSortByCreationTime, SortOrder: types.SortOrderDescending, MaxResults: aws.Int32(100)}
	for {
		out, err := s.sagemaker.ListModelPackages(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("list versions of %s: %w", pipeline, err)
		}
		for _, p := range out.ModelPackageSummaryList {
			v := int(aws.ToInt32(p.ModelPackageVersion))
			lines = append(lines, modelLine{Pipeline: pipeline, Version: v, Approval: string(p.ModelApprovalStatus), InService: found && serving.Version == v,
				Created: aws.ToTime(p.CreationTime), ARN: aws.ToString(p.ModelPackageArn), About: aws.ToString(p.ModelPackageDescription)})
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			return lines, nil
		}
	}
}
