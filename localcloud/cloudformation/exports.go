package cloudformation

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	api "github.com/aws/aws-sdk-go-v2/service/cloudformation"
	"github.com/aws/aws-sdk-go-v2/service/cloudformation/types"
)

func (c *CloudFormation) living() ([]stack, error) {
	return c.all(func(s *stack) bool { return s.Status != "DELETE_COMPLETE" })
}

// exported is the value of an export.
func (c *CloudFormation) exported(name string) (string, error) {
	list, err := c.living()
	if err != nil {
		return "", err
	}
	for _, s := range list {
		for _, o := range s.Outputs {
			if o.Export == name {
				return o.Value, nil
			}
		}
	}
	return "", fmt.Errorf("No export named %s found.", name) //nolint:revive,staticcheck // AWS's wording, shown to people
}

// mayExport reports why a stack's outputs cannot become these: an export is
// another stack's, or one in use would change or go.
func (c *CloudFormation) mayExport(s *stack, outputs []stackOutput) error {
	list, err := c.living()
	if err != nil {
		return err
	}
	next := map[string]string{}
	for _, o := range outputs {
		if o.Export != "" {
			next[o.Export] = o.Value
		}
	}
	for _, other := range list {
		if other.ID == s.ID {
			continue
		}
		for _, o := range other.Outputs {
			if _, taken := next[o.Export]; taken && o.Export != "" {
				return fmt.Errorf("Export with name %s is already exported by stack %s.", o.Export, other.Name) //nolint:revive,staticcheck // AWS's wording
			}
		}
	}
	for _, o := range s.Outputs {
		if o.Export == "" {
			continue
		}
		users := importers(list, o.Export)
		value, stays := next[o.Export]
		switch {
		case len(users) == 0 || (stays && value == o.Value):
		case stays:
			return fmt.Errorf("Export %s cannot be updated as it is in use by %s.", o.Export, strings.Join(users, ", ")) //nolint:revive,staticcheck // AWS's wording
		default:
			return fmt.Errorf("Export %s cannot be deleted as it is in use by %s.", o.Export, strings.Join(users, ", ")) //nolint:revive,staticcheck // AWS's wording
		}
	}
	return nil
}

// importers names the stacks that use an export.
func importers(list []stack, export string) []string {
	var names []string
	for _, s := range list {
		if slices.Contains(s.ImportedValues, export) {
			names = append(names, s.Name)
		}
	}
	sort.Strings(names)
	return names
}

func (c *CloudFormation) listExports(_ context.Context, in *api.ListExportsInput) (*api.ListExportsOutput, error) {
	list, err := c.living()
	if err != nil {
		return nil, err
	}
	exports := []types.Export{}
	for _, s := range list {
		for _, o := range s.Outputs {
			if o.Export != "" {
				exports = append(exports, types.Export{ExportingStackId: aws.String(s.ID), Name: aws.String(o.Export), Value: aws.String(o.Value)})
			}
		}
	}
	sort.Slice(exports, func(i, j int) bool { return *exports[i].Name < *exports[j].Name })
	page, next, err := paged(exports, func(e types.Export) string { return *e.Name }, in.NextToken, pageSize)
	return &api.ListExportsOutput{Exports: page, NextToken: next}, err
}

func (c *CloudFormation) listImports(_ context.Context, in *api.ListImportsInput) (*api.ListImportsOutput, error) {
	list, err := c.living()
	if err != nil {
		return nil, err
	}
	users := importers(list, aws.ToString(in.ExportName))
	if len(users) == 0 {
		return nil, invalid("Export '%s' is not imported by any stack.", aws.ToString(in.ExportName))
	}
	page, next, err := paged(users, func(name string) string { return name }, in.NextToken, pageSize)
	return &api.ListImportsOutput{Imports: page, NextToken: next}, err
}
