package policy_test

import (
	"testing"

	"github.com/millrace-ml/millrace/localcloud/eventbridge/policy"
	"github.com/millrace-ml/millrace/localcloud/wire"
)

func TestAllows(t *testing.T) {
	const queue = "arn:aws:sqs:us-east-1:000000000000:q"
	events := wire.Caller{Account: "000000000000", ARN: "arn:aws:events:us-east-1:000000000000:rule/r", Service: "events.amazonaws.com"}
	other := wire.Caller{Account: "111122223333", ARN: "arn:aws:sts::111122223333:assumed-role/x/s", RoleARN: "arn:aws:iam::111122223333:role/x"}
	statement := func(rest string) string { return `{"Version":"2012-10-17","Statement":{` + rest + `}}` }
	const send = `"Effect":"Allow","Action":"sqs:SendMessage","Resource":"` + queue + `"`
	tests := map[string]struct {
		policy string
		caller wire.Caller
		want   bool
	}{
		"no policy":             {"", events, false},
		"broken":                {"{", events, false},
		"the service":           {statement(send + `,"Principal":{"Service":"events.amazonaws.com"}`), events, true},
		"another service":       {statement(send + `,"Principal":{"Service":"sns.amazonaws.com"}`), events, false},
		"the rule":              {statement(send + `,"Principal":{"Service":"events.amazonaws.com"},"Condition":{"ArnEquals":{"aws:SourceArn":"arn:aws:events:us-east-1:000000000000:rule/r"}}`), events, true},
		"another rule":          {statement(send + `,"Principal":{"Service":"events.amazonaws.com"},"Condition":{"ArnEquals":{"aws:SourceArn":"arn:aws:events:us-east-1:000000000000:rule/s"}}`), events, false},
		"rules by wildcard":     {statement(send + `,"Principal":{"Service":"events.amazonaws.com"},"Condition":{"ArnLike":{"AWS:SourceArn":["x","arn:aws:events:*:rule/?"]},"StringEquals":{"aws:SourceAccount":"000000000000"}}`), events, true},
		"another action":        {statement(`"Effect":"Allow","Principal":"*","Action":"sqs:ReceiveMessage"`), events, false},
		"actions ignoring case": {statement(`"Effect":"Allow","Principal":"*","Action":["SQS:send*"]`), events, true},
		"an account":            {statement(send + `,"Principal":{"AWS":"111122223333"}`), other, true},
		"an account's root":     {statement(send + `,"Principal":{"AWS":["arn:aws:iam::111122223333:root"]}`), other, true},
		"a role":                {statement(send + `,"Principal":{"AWS":"arn:aws:iam::111122223333:role/x"}`), other, true},
		"another role":          {statement(send + `,"Principal":{"AWS":"arn:aws:iam::111122223333:role/y"}`), other, false},
		"deny wins":             {`{"Statement":[{` + send + `,"Principal":"*"},{"Effect":"Deny","Principal":"*","Action":"sqs:*"}]}`, events, false},
		"deny of insecure":      {`{"Statement":[{` + send + `,"Principal":"*"},{"Effect":"Deny","Principal":"*","Action":"sqs:*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`, events, true},
		"a key that is absent":  {statement(send + `,"Principal":"*","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}`), other, false},
		"absent, if it exists":  {statement(send + `,"Principal":"*","Condition":{"StringEqualsIfExists":{"aws:PrincipalOrgID":"o-1"}}`), other, true},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			if got := policy.Allows(tc.policy, tc.caller, "sqs:SendMessage", queue); got != tc.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON":           `x`,
		"no statement":      `{"Statement":[]}`,
		"no effect":         `{"Statement":[{"Principal":"*","Action":"a:b"}]}`,
		"no principal":      `{"Statement":[{"Effect":"Allow","Action":"a:b"}]}`,
		"no action":         `{"Statement":[{"Effect":"Allow","Principal":"*"}]}`,
		"federated":         `{"Statement":[{"Effect":"Allow","Principal":{"Federated":"x"},"Action":"a:b"}]}`,
		"unknown condition": `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"a:b","Condition":{"IpAddress":{"aws:SourceIp":"10.0.0.0/8"}}}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := policy.Parse(text); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func FuzzAllows(f *testing.F) {
	f.Add(`{"Statement":{"Effect":"Allow","Principal":{"AWS":["*"]},"Action":["a:*","b:?"],"Resource":"arn:*","Condition":{"Null":{"x":"true"}}}}`, "a:B")
	f.Add(`{"Statement":[{"Effect":"Deny","Principal":"*","Action":"a*b*c"}]}`, "aXbc")
	f.Fuzz(func(t *testing.T, text, action string) {
		c := wire.Caller{Account: "000000000000", ARN: "arn:aws:events:us-east-1:000000000000:rule/r", Service: "events.amazonaws.com"}
		if _, err := policy.Parse(text); err != nil && policy.Allows(text, c, action, "arn:x") {
			t.Errorf("a policy that cannot be read allows: %s", text)
		}
	})
}
