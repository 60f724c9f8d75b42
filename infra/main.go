// Command infra is the CDK app: it writes the cloud assembly that `cdk deploy`
// (or `millrace up --assembly`) deploys. Run it from the project's root.
package main

import (
	"fmt"
	"os"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"github.com/millrace-ml/millrace/infra/stack"
)

func main() {
	defer jsii.Close()
	pipelines, err := stack.LoadPipelines("pipelines")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	props := &awscdk.AppProps{Context: stack.Flags()}
	if os.Getenv("CDK_OUTDIR") == "" { // set by the CDK CLI
		props.Outdir = jsii.String("cdk.out")
	}
	app := awscdk.NewApp(props)
	stack.NewMillrace(app, "Millrace", stack.Props{Functions: "bin/functions", Pipelines: pipelines})
	app.Synth(nil)
}
