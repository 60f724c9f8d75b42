package stack

import (
	"bytes"
	"encoding/json"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsstepfunctions"
	"github.com/aws/jsii-runtime-go"

	"github.com/millrace-ml/millrace/statemachine"
)

func (s *millrace) makeStateMachine() {
	role := awsiam.NewRole(s.stack, jsii.String("machine-role"), &awsiam.RoleProps{
		AssumedBy: awsiam.NewServicePrincipal(jsii.String("states.amazonaws.com"), nil),
	})
	called := []*string{s.functions[snapshot].FunctionArn(), s.functions[startJob].FunctionArn(), s.functions[register].FunctionArn()}
	allow(role, append(s.publish(), statement([]string{"lambda:InvokeFunction"}, called...)))
	m := awsstepfunctions.NewCfnStateMachine(s.stack, jsii.String("Machine"), &awsstepfunctions.CfnStateMachineProps{
		StateMachineName: jsii.String(MachineName),
		RoleArn:          role.RoleArn(),
		DefinitionString: jsii.String(definitionText()),
		DefinitionSubstitutions: &map[string]*string{
			statemachine.SubstSnapshot: s.functions[snapshot].FunctionArn(),
			statemachine.SubstStartJob: s.functions[startJob].FunctionArn(),
			statemachine.SubstRegister: s.functions[register].FunctionArn(),
			statemachine.SubstEventBus: jsii.String("default"),
		},
	})
	// The policy is a resource of its own: a run must not begin before it is there.
	m.Node().AddDependency(role)
}

// definitionText is the definition without the blanks that people need.
func definitionText() string {
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(statemachine.Definition)); err != nil {
		panic("stack: the state machine's definition is not JSON: " + err.Error())
	}
	return b.String()
}
