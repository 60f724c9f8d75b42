package iam_test

import (
	"strings"
	"testing"

	"github.com/millrace-ml/millrace/localcloud/iam"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

func document(statements string) string {
	return `{"Version":"2012-10-17","Statement":[` + statements + `]}`
}

func TestEvaluate(t *testing.T) {
	const job = "arn:aws:sagemaker:us-east-1:000000000000:training-job/flights-1-train-0"
	for name, tc := range map[string]struct {
		statements      string
		action          string
		resource        string
		conditions      map[string][]string
		allowed, denied bool
	}{
		"nothing matches":         {statements: `{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}`, action: "s3:PutObject", resource: "*"},
		"exact":                   {statements: `{"Effect":"Allow","Action":"sagemaker:CreateTrainingJob","Resource":"` + job + `"}`, action: "sagemaker:CreateTrainingJob", resource: job, allowed: true},
		"action in another case":  {statements: `{"Effect":"Allow","Action":"SageMaker:createtrainingjob","Resource":"*"}`, action: "sagemaker:CreateTrainingJob", resource: job, allowed: true},
		"resource is exact":       {statements: `{"Effect":"Allow","Action":"*","Resource":"` + strings.Replace(job, "flights", "Flights", 1) + `"}`, action: "sagemaker:CreateTrainingJob", resource: job},
		"wildcards":               {statements: `{"Effect":"Allow","Action":"sagemaker:Create*Job","Resource":"arn:aws:sagemaker:*:*:training-job/flights-?-*"}`, action: "sagemaker:CreateTrainingJob", resource: job, allowed: true},
		"question mark needs one": {statements: `{"Effect":"Allow","Action":"*","Resource":"arn:aws:sagemaker:*:*:training-job/flights-??-train-0"}`, action: "sagemaker:CreateTrainingJob", resource: job},
		"lists":                   {statements: `{"Effect":"Allow","Action":["a:B","c:D"],"Resource":["arn:x","arn:y"]}`, action: "c:D", resource: "arn:y", allowed: true},
		"deny wins": {statements: `{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"s3:Delete*","Resource":"*"}`,
			action: "s3:DeleteObject", resource: "arn:aws:s3:::b/k", denied: true},
		"deny of something else":         {statements: `{"Effect":"Deny","Action":"s3:Delete*","Resource":"*"},{"Effect":"Allow","Action":"*","Resource":"*"}`, action: "s3:GetObject", resource: "arn:aws:s3:::b/k", allowed: true},
		"not action":                     {statements: `{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}`, action: "s3:GetObject", resource: "*", allowed: true},
		"not action, named":              {statements: `{"Effect":"Allow","NotAction":"iam:*","Resource":"*"}`, action: "iam:PassRole", resource: "*"},
		"not resource":                   {statements: `{"Effect":"Deny","Action":"*","NotResource":"arn:aws:s3:::mine/*"}`, action: "s3:GetObject", resource: "arn:aws:s3:::other/k", denied: true},
		"not resource, named":            {statements: `{"Effect":"Deny","Action":"*","NotResource":"arn:aws:s3:::mine/*"}`, action: "s3:GetObject", resource: "arn:aws:s3:::mine/k"},
		"one statement, no list":         {statements: `{"Effect":"Allow","Action":"a:B","Resource":"*","Condition":{}}`, action: "a:B", resource: "*", allowed: true},
		"condition holds":                {statements: cond(`"StringEquals":{"iam:PassedToService":"sagemaker.amazonaws.com"}`), conditions: keys("iam:passedtoservice", "sagemaker.amazonaws.com"), allowed: true},
		"condition does not hold":        {statements: cond(`"StringEquals":{"iam:PassedToService":"sagemaker.amazonaws.com"}`), conditions: keys("iam:passedtoservice", "lambda.amazonaws.com")},
		"key is absent":                  {statements: cond(`"StringEquals":{"iam:PassedToService":"sagemaker.amazonaws.com"}`)},
		"absent, if exists":              {statements: cond(`"StringEqualsIfExists":{"k":"v"}`), allowed: true},
		"there, if exists":               {statements: cond(`"StringEqualsIfExists":{"k":"v"}`), conditions: keys("k", "w")},
		"absent, negated":                {statements: cond(`"StringNotEquals":{"k":"v"}`), allowed: true},
		"negated":                        {statements: cond(`"StringNotEquals":{"k":["v","w"]}`), conditions: keys("k", "w")},
		"one of several":                 {statements: cond(`"StringLike":{"k":["a*","b*"]}`), conditions: keys("k", "bcd"), allowed: true},
		"all keys must hold":             {statements: cond(`"StringLike":{"k":"a*","l":"b*"}`), conditions: keys("k", "a", "l", "c")},
		"all operators must hold":        {statements: cond(`"StringLike":{"k":"a*"},"Bool":{"aws:SecureTransport":"true"}`), conditions: keys("k", "a", "aws:securetransport", "false")},
		"bool as JSON":                   {statements: cond(`"Bool":{"aws:SecureTransport":true}`), conditions: keys("aws:securetransport", "true"), allowed: true},
		"null":                           {statements: cond(`"Null":{"k":"true"}`), allowed: true},
		"not null":                       {statements: cond(`"Null":{"k":"true"}`), conditions: keys("k", "v")},
		"ARN by parts":                   {statements: cond(`"ArnLike":{"aws:SourceArn":"arn:aws:events:*:000000000000:rule/*"}`), conditions: keys("aws:sourcearn", "arn:aws:events:us-east-1:000000000000:rule/r"), allowed: true},
		"ARN wildcard stays in its part": {statements: cond(`"ArnLike":{"aws:SourceArn":"arn:aws:events:*:rule/r"}`), conditions: keys("aws:sourcearn", "arn:aws:events:us-east-1:000000000000:rule/r")},
		"number":                         {statements: cond(`"NumericLessThanEquals":{"s3:max-keys":10}`), conditions: keys("s3:max-keys", "10"), allowed: true},
		"not a number":                   {statements: cond(`"NumericLessThanEquals":{"s3:max-keys":10}`), conditions: keys("s3:max-keys", "ten")},
		"any value":                      {statements: cond(`"ForAnyValue:StringEquals":{"k":["a"]}`), conditions: map[string][]string{"k": {"b", "a"}}, allowed: true},
		"any value of none":              {statements: cond(`"ForAnyValue:StringEquals":{"k":["a"]}`)},
		"all values":                     {statements: cond(`"ForAllValues:StringEquals":{"k":["a"]}`), conditions: map[string][]string{"k": {"b", "a"}}},
		"all values of none":             {statements: cond(`"ForAllValues:StringEquals":{"k":["a"]}`), allowed: true},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.action == "" {
				tc.action, tc.resource = "a:B", "*"
			}
			d, err := iam.Parse(document(tc.statements), iam.Permissions)
			if err != nil {
				t.Fatal(err)
			}
			allowed, denied := d.Evaluate(iam.Request{Action: tc.action, Resource: tc.resource, Conditions: tc.conditions})
			if allowed != tc.allowed || denied != tc.denied {
				t.Errorf("allowed %v, denied %v; want %v, %v", allowed, denied, tc.allowed, tc.denied)
			}
		})
	}
}

func cond(c string) string {
	return `{"Effect":"Allow","Action":"a:B","Resource":"*","Condition":{` + c + `}}`
}

func keys(pairs ...string) map[string][]string {
	out := map[string][]string{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = []string{pairs[i+1]}
	}
	return out
}

func TestParseRefuses(t *testing.T) {
	const allow = `"Effect":"Allow","Action":"a:B","Resource":"*"`
	for name, tc := range map[string]struct {
		document, says string
		kind           iam.Kind
	}{
		"no JSON":                {document: `{`, says: "invalid Json"},
		"text after it":          {document: document(`{`+allow+`}`) + `x`, says: "invalid Json"},
		"wrong version":          {document: `{"Version":"2020-01-01","Statement":[{` + allow + `}]}`, says: "version"},
		"no statement":           {document: `{"Version":"2012-10-17"}`, says: "no Statement"},
		"empty statement":        {document: document(``), says: "no Statement"},
		"unknown member":         {document: document(`{` + allow + `,"Acton":"x"}`), says: "Acton"},
		"unknown effect":         {document: document(`{"Effect":"allow","Action":"a:B","Resource":"*"}`), says: "not Allow or Deny"},
		"no action":              {document: document(`{"Effect":"Allow","Resource":"*"}`), says: "missing Action"},
		"no resource":            {document: document(`{"Effect":"Allow","Action":"a:B"}`), says: "missing Resource"},
		"both resources":         {document: document(`{` + allow + `,"NotResource":"*"}`), says: "both"},
		"action without service": {document: document(`{"Effect":"Allow","Action":"GetObject","Resource":"*"}`), says: "vendor"},
		"resource is no ARN":     {document: document(`{"Effect":"Allow","Action":"s3:*","Resource":"bucket"}`), says: "ARN"},
		"principal in a role":    {document: document(`{` + allow + `,"Principal":"*"}`), says: "principal"},
		"policy variable":        {document: document(`{"Effect":"Allow","Action":"s3:*","Resource":"arn:aws:s3:::${aws:username}"}`), says: "policy variables"},
		"variable in condition":  {document: document(cond(`"StringEquals":{"k":"${aws:userid}"}`)), says: "policy variables"},
		"unknown operator":       {document: document(cond(`"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}`)), says: `"IpAddress" is not supported`},
		"no such negation":       {document: document(cond(`"NotBool":{"k":"true"}`)), says: "not supported"},
		"null if exists":         {document: document(cond(`"NullIfExists":{"k":"true"}`)), says: "invalid condition operator"},
		"trust without anybody":  {document: document(`{"Effect":"Allow","Action":"sts:AssumeRole"}`), says: "missing Principal", kind: iam.Trust},
		"trust with a resource":  {document: document(`{` + allow + `,"Principal":"*"}`), says: "prohibited field Resource", kind: iam.Trust},
		"federated trust":        {document: document(`{"Effect":"Allow","Action":"sts:AssumeRoleWithWebIdentity","Principal":{"Federated":"x"}}`), says: "Federated", kind: iam.Trust},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.kind == 0 {
				tc.kind = iam.Permissions
			}
			_, err := iam.Parse(tc.document, tc.kind)
			if !wire.HasCode(err, "MalformedPolicyDocument") || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("%v, want MalformedPolicyDocument saying %q", err, tc.says)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add(document(cond(`"StringLike":{"k":["a*"]}`)), "a:B", "arn:aws:s3:::b/k")
	f.Add(document(`{"Effect":"Deny","NotAction":["a:*"],"NotResource":"arn:*"}`), "s3:GetObject", "*")
	f.Fuzz(func(t *testing.T, raw, action, resource string) {
		for _, kind := range []iam.Kind{iam.Permissions, iam.Trust} {
			d, err := iam.Parse(raw, kind)
			if err != nil {
				if !wire.HasCode(err, "MalformedPolicyDocument") {
					t.Errorf("refused with %v", err)
				}
				continue
			}
			if allowed, denied := d.Evaluate(iam.Request{Action: action, Resource: resource}); allowed && denied {
				t.Error("allowed and denied at once")
			}
		}
	})
}
