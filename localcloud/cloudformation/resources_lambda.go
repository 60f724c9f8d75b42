package cloudformation

type functionProps struct {
	FunctionName string `cfn:"name"`
	Code         struct {
		S3Bucket        string `json:",omitempty"`
		S3Key           string `json:",omitempty"`
		S3ObjectVersion string `json:",omitempty"`
	} `cfn:"required"`
	Role                         string `cfn:"required"`
	Runtime                      string
	Handler                      string
	Description                  string
	Architectures                []string
	MemorySize                   *int
	Timeout                      *int
	Environment                  *struct{ Variables map[string]string }
	DeadLetterConfig             *struct{ TargetArn string }
	EphemeralStorage             *struct{ Size int }
	TracingConfig                *struct{ Mode string } `cfn:"noeffect"`
	LoggingConfig                *loggingConfig
	PackageType                  string `cfn:"replace"`
	ReservedConcurrentExecutions *int
	Tags                         []tag
}

type loggingConfig struct {
	ApplicationLogLevel string `json:",omitempty"`
	LogFormat           string `json:",omitempty"`
	LogGroup            string `json:",omitempty"`
	SystemLogLevel      string `json:",omitempty"`
}

func (p *functionProps) settings() map[string]any {
	in := map[string]any{
		"FunctionName": p.FunctionName, "Role": p.Role, "Runtime": p.Runtime, "Handler": p.Handler, "Description": p.Description,
		"MemorySize": p.MemorySize, "Timeout": p.Timeout, "Environment": p.Environment, "DeadLetterConfig": p.DeadLetterConfig,
		"EphemeralStorage": p.EphemeralStorage, "TracingConfig": p.TracingConfig, "LoggingConfig": p.LoggingConfig,
	}
	if p.Environment != nil && p.Environment.Variables == nil {
		delete(in, "Environment")
	}
	return in
}

func lambdaFunction() *kind {
	reserve := func(s *step, id string, n *int) error {
		if n == nil {
			return s.quietly("lambda", "DeleteFunctionConcurrency", map[string]any{"FunctionName": id})
		}
		return s.call("lambda", "PutFunctionConcurrency", map[string]any{"FunctionName": id, "ReservedConcurrentExecutions": *n}, nil)
	}
	return kindOf(handlers[functionProps]{
		attributes: []string{"Arn"},
		expected:   func(_ *CloudFormation, p *functionProps) string { return p.FunctionName },
		create: func(s *step, p *functionProps) (made, error) {
			in := p.settings()
			in["Code"], in["Architectures"], in["PackageType"], in["Tags"] = p.Code, p.Architectures, p.PackageType, s.tags(p.Tags)
			var out struct{ FunctionArn string }
			if err := s.call("lambda", "CreateFunction", in, &out); err != nil {
				return made{}, err
			}
			m := made{ID: p.FunctionName, Attributes: map[string]string{"Arn": out.FunctionArn}}
			if p.ReservedConcurrentExecutions == nil {
				return m, nil
			}
			return m, reserve(s, p.FunctionName, p.ReservedConcurrentExecutions)
		},
		update: func(s *step, id string, old, p *functionProps) (made, error) {
			if canonical(old.Code) != canonical(p.Code) || canonical(old.Architectures) != canonical(p.Architectures) {
				err := s.call("lambda", "UpdateFunctionCode", map[string]any{
					"FunctionName": id, "S3Bucket": p.Code.S3Bucket, "S3Key": p.Code.S3Key, "S3ObjectVersion": p.Code.S3ObjectVersion, "Architectures": p.Architectures,
				}, nil)
				if err != nil {
					return made{}, err
				}
			}
			if canonical(old.settings()) != canonical(p.settings()) {
				in := p.settings()
				// What the new template leaves out goes back to Lambda's default.
				for k, v := range map[string]any{
					"Environment": map[string]any{"Variables": map[string]string{}}, "MemorySize": 128, "Timeout": 3, "Description": new(string),
					"DeadLetterConfig": map[string]any{"TargetArn": new(string)}, "EphemeralStorage": map[string]any{"Size": 512},
					"LoggingConfig": map[string]any{"LogFormat": "Text"}, "TracingConfig": map[string]any{"Mode": "PassThrough"},
				} {
					if empty(in[k]) {
						in[k] = v
					}
				}
				if err := s.call("lambda", "UpdateFunctionConfiguration", in, nil); err != nil {
					return made{}, err
				}
			}
			if canonical(old.ReservedConcurrentExecutions) != canonical(p.ReservedConcurrentExecutions) {
				if err := reserve(s, id, p.ReservedConcurrentExecutions); err != nil {
					return made{}, err
				}
			}
			return made{}, retag(s, s.c.arn("lambda", "function:"+id), old.Tags, p.Tags)
		},
		remove: func(s *step, id string, _ *functionProps) error {
			return s.quietly("lambda", "DeleteFunction", map[string]any{"FunctionName": id})
		},
	})
}

func retag(s *step, arn string, old, new []tag) error {
	if canonical(old) == canonical(new) {
		return nil
	}
	wanted := s.tags(new)
	var left []string
	for _, t := range old {
		if _, ok := wanted[t.Key]; !ok {
			left = append(left, t.Key)
		}
	}
	if len(left) > 0 {
		if err := s.call("lambda", "UntagResource", map[string]any{"Resource": arn, "TagKeys": left}, nil); err != nil {
			return err
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	return s.call("lambda", "TagResource", map[string]any{"Resource": arn, "Tags": wanted}, nil)
}

type permissionProps struct {
	Action        string `cfn:"required"`
	FunctionName  string `cfn:"required"`
	Principal     string `cfn:"required"`
	SourceArn     string
	SourceAccount string
}

func lambdaPermission() *kind {
	return kindOf(handlers[permissionProps]{
		create: func(s *step, p *permissionProps) (made, error) {
			err := s.call("lambda", "AddPermission", map[string]any{
				"FunctionName": p.FunctionName, "StatementId": s.name, "Action": p.Action, "Principal": p.Principal, "SourceArn": p.SourceArn, "SourceAccount": p.SourceAccount,
			}, nil)
			if err != nil {
				return made{}, err
			}
			return made{ID: s.name}, nil
		},
		remove: func(s *step, id string, p *permissionProps) error {
			return s.quietly("lambda", "RemovePermission", map[string]any{"FunctionName": p.FunctionName, "StatementId": id})
		},
	})
}

type eventInvokeProps struct {
	FunctionName             string `cfn:"required,replace"`
	Qualifier                string `cfn:"required,replace"`
	MaximumEventAgeInSeconds *int
	MaximumRetryAttempts     *int
	DestinationConfig        *struct {
		OnFailure *struct{ Destination string } `json:",omitempty"`
		OnSuccess *struct{ Destination string } `json:",omitempty"`
	}
}

func eventInvokeConfig() *kind {
	put := func(s *step, p *eventInvokeProps) error {
		return s.call("lambda", "PutFunctionEventInvokeConfig", map[string]any{
			"FunctionName": p.FunctionName, "Qualifier": p.Qualifier, "MaximumEventAgeInSeconds": p.MaximumEventAgeInSeconds,
			"MaximumRetryAttempts": p.MaximumRetryAttempts, "DestinationConfig": p.DestinationConfig,
		}, nil)
	}
	return kindOf(handlers[eventInvokeProps]{
		create: func(s *step, p *eventInvokeProps) (made, error) {
			if err := put(s, p); err != nil {
				return made{}, err
			}
			return made{ID: p.FunctionName + "|" + p.Qualifier}, nil
		},
		update: func(s *step, _ string, _, p *eventInvokeProps) (made, error) { return made{}, put(s, p) },
		remove: func(s *step, _ string, p *eventInvokeProps) error {
			return s.quietly("lambda", "DeleteFunctionEventInvokeConfig", map[string]any{"FunctionName": p.FunctionName, "Qualifier": p.Qualifier})
		},
	})
}
