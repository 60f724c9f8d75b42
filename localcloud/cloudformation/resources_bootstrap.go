package cloudformation

import "fmt"

// The types that the CDK's bootstrap stack has and pipelines do not.

type ssmParameterProps struct {
	Name           string `cfn:"name"`
	Type           string `cfn:"required"`
	Value          string `cfn:"required"`
	Description    string
	AllowedPattern string
	DataType       string
	Tier           string
	Policies       string
	Tags           map[string]string
}

// tagged are the parameter's own tags, which it has as a map, and the stack's.
func (p *ssmParameterProps) tagged(s *step) []tag {
	var own []tag
	for _, k := range sortedKeys(p.Tags) {
		own = append(own, tag{k, p.Tags[k]})
	}
	return tagList(s.tags(own))
}

func ssmParameter() *kind {
	put := func(s *step, p *ssmParameterProps, in map[string]any) (made, error) {
		for k, v := range map[string]string{"Name": p.Name, "Type": p.Type, "Value": p.Value, "Description": p.Description, "AllowedPattern": p.AllowedPattern,
			"DataType": p.DataType, "Tier": p.Tier, "Policies": p.Policies} {
			in[k] = v
		}
		err := s.call("ssm", "PutParameter", in, nil)
		return made{ID: p.Name, Attributes: map[string]string{"Type": p.Type, "Value": p.Value}}, err
	}
	retag := func(s *step, id string, old, p *ssmParameterProps) error {
		wanted, gone := map[string]bool{}, []string{}
		for _, t := range p.tagged(s) {
			wanted[t.Key] = true
		}
		for _, k := range sortedKeys(old.Tags) {
			if !wanted[k] {
				gone = append(gone, k)
			}
		}
		if len(gone) > 0 {
			if err := s.call("ssm", "RemoveTagsFromResource", map[string]any{"ResourceType": "Parameter", "ResourceId": id, "TagKeys": gone}, nil); err != nil {
				return err
			}
		}
		if len(wanted) == 0 {
			return nil
		}
		return s.call("ssm", "AddTagsToResource", map[string]any{"ResourceType": "Parameter", "ResourceId": id, "Tags": p.tagged(s)}, nil)
	}
	return kindOf(handlers[ssmParameterProps]{
		attributes: []string{"Type", "Value"},
		format:     func(_, logical, unique string) string { return "CFN-" + logical + "-" + unique },
		expected:   func(_ *CloudFormation, p *ssmParameterProps) string { return p.Name },
		create: func(s *step, p *ssmParameterProps) (made, error) {
			m, err := put(s, p, map[string]any{"Tags": p.tagged(s)})
			if err != nil {
				return made{}, err // what is there already is not this stack's to remove
			}
			return m, nil
		},
		update: func(s *step, id string, old, p *ssmParameterProps) (made, error) {
			m, err := put(s, p, map[string]any{"Overwrite": true})
			if err != nil {
				return made{}, err
			}
			return m, retag(s, id, old, p)
		},
		remove: func(s *step, id string, _ *ssmParameterProps) error {
			return s.quietly("ssm", "DeleteParameter", map[string]any{"Name": id})
		},
	})
}

type ecrRepositoryProps struct {
	RepositoryName     string `cfn:"name"`
	ImageTagMutability string
	LifecyclePolicy    *struct{ LifecyclePolicyText, RegistryId string } //nolint:revive // the template's names
	// Nothing pulls images here, so that nobody is let in by it.
	RepositoryPolicyText       any                         `cfn:"noeffect"`
	ImageScanningConfiguration *struct{ ScanOnPush *bool } `cfn:"noeffect"`
	EncryptionConfiguration    *struct{ EncryptionType, KmsKey string }
	EmptyOnDelete              bool
	Tags                       []tag
}

func (p *ecrRepositoryProps) lifecycle() string {
	if p.LifecyclePolicy == nil {
		return ""
	}
	return p.LifecyclePolicy.LifecyclePolicyText
}

func (p *ecrRepositoryProps) scans() bool {
	return p.ImageScanningConfiguration != nil && p.ImageScanningConfiguration.ScanOnPush != nil && *p.ImageScanningConfiguration.ScanOnPush
}

func ecrRepository() *kind {
	return kindOf(handlers[ecrRepositoryProps]{
		attributes: []string{"Arn", "RepositoryUri"}, lowerName: true, nameLimit: 256,
		expected: func(_ *CloudFormation, p *ecrRepositoryProps) string { return p.RepositoryName },
		create: func(s *step, p *ecrRepositoryProps) (made, error) {
			if e := p.EncryptionConfiguration; e != nil && e.EncryptionType != "AES256" {
				return made{}, fmt.Errorf("encryption of repository %s by %s: the local cloud has no KMS", p.RepositoryName, e.EncryptionType)
			}
			var out struct {
				Repository struct{ RepositoryArn, RepositoryUri string } //nolint:revive // the API's names
			}
			err := s.call("ecr", "CreateRepository", map[string]any{"repositoryName": p.RepositoryName, "imageTagMutability": p.ImageTagMutability,
				"imageScanningConfiguration": map[string]any{"scanOnPush": p.scans()}, "tags": tagList(s.tags(p.Tags))}, &out)
			if err != nil {
				return made{}, err
			}
			m := made{ID: p.RepositoryName, Attributes: map[string]string{"Arn": out.Repository.RepositoryArn, "RepositoryUri": out.Repository.RepositoryUri}}
			return m, repositorySettings(s, p.RepositoryName, &ecrRepositoryProps{}, p)
		},
		update: func(s *step, id string, old, p *ecrRepositoryProps) (made, error) {
			if canonical(old.EncryptionConfiguration) != canonical(p.EncryptionConfiguration) {
				return made{}, fmt.Errorf("the local cloud does not change the encryption of repository %s", id)
			}
			if old.ImageTagMutability != p.ImageTagMutability {
				mutability := p.ImageTagMutability
				if mutability == "" {
					mutability = "MUTABLE"
				}
				if err := s.call("ecr", "PutImageTagMutability", map[string]any{"repositoryName": id, "imageTagMutability": mutability}, nil); err != nil {
					return made{}, err
				}
			}
			if old.scans() != p.scans() {
				if err := s.call("ecr", "PutImageScanningConfiguration", map[string]any{"repositoryName": id, "imageScanningConfiguration": map[string]any{"scanOnPush": p.scans()}}, nil); err != nil {
					return made{}, err
				}
			}
			if canonical(old.Tags) != canonical(p.Tags) {
				if err := s.call("ecr", "TagResource", map[string]any{"resourceArn": s.c.arn("ecr", "repository/"+id), "tags": tagList(s.tags(p.Tags))}, nil); err != nil {
					return made{}, err
				}
			}
			return made{}, repositorySettings(s, id, old, p)
		},
		remove: func(s *step, id string, p *ecrRepositoryProps) error {
			return s.quietly("ecr", "DeleteRepository", map[string]any{"repositoryName": id, "force": p.EmptyOnDelete})
		},
	})
}

// repositorySettings brings a repository's policies from old to p.
func repositorySettings(s *step, id string, old, p *ecrRepositoryProps) error {
	for _, x := range []struct{ old, wanted, member, put, remove string }{
		{old.lifecycle(), p.lifecycle(), "lifecyclePolicyText", "PutLifecyclePolicy", "DeleteLifecyclePolicy"},
		{document(old.RepositoryPolicyText), document(p.RepositoryPolicyText), "policyText", "SetRepositoryPolicy", "DeleteRepositoryPolicy"},
	} {
		var err error
		switch {
		case x.old == x.wanted:
		case x.wanted == "":
			err = s.quietly("ecr", x.remove, map[string]any{"repositoryName": id})
		default:
			err = s.call("ecr", x.put, map[string]any{"repositoryName": id, x.member: x.wanted}, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
