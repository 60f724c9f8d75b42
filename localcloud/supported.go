package localcloud

import (
	"github.com/millrace-ml/millrace/localcloud/s3"
	"github.com/millrace-ml/millrace/localcloud/stepfunctions"
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
func TaskResources() []string { return stepfunctions.SupportedResources() }
