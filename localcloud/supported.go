package localcloud

import (
	"slices"
	"strings"

	"github.com/millrace-ml/millrace/localcloud/s3"
	"github.com/millrace-ml/millrace/localcloud/stepfunctions"
	"github.com/millrace-ml/millrace/localcloud/wire/model"
)

// Operations lists what a service supports, sorted: its routing table.
func (c *Cloud) Operations(service string) []string {
	s, ok := c.services[service]
	switch {
	case !ok:
		return nil
	case service == "s3": // routed by the gateway
		return s3.Operations()
	}
	return s.Operations()
}

// TaskResources lists what a Task state's Resource may be, sorted.
func TaskResources() []string {
	list := stepfunctions.SupportedResources()
	// S3's tasks reach fewer operations than its wire.
	const some = "arn:aws:states:::aws-sdk:s3:"
	list = slices.DeleteFunc(list, func(r string) bool { return strings.HasPrefix(r, some) })
	for _, op := range s3.TaskOperations() {
		list = append(list, some+model.LowerFirst(op))
	}
	slices.Sort(list)
	return list
}
