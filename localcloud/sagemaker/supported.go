package sagemaker

import (
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/millrace-ml/millrace/localcloud/wire"
)

// supported lists, for each operation that creates something, the members that
// the local cloud honours (or that change nothing in one process on one
// machine, such as the instance type). A name stands for all below it. What is
// not listed is refused: a member that AWS adds later as well.
var supported = map[string][]string{
	"CreateTrainingJob": {
		"TrainingJobName", "HyperParameters", "RoleArn", "Tags", "Environment", "EnableInterContainerTrafficEncryption",
		"AlgorithmSpecification.TrainingImage", "AlgorithmSpecification.TrainingInputMode", "AlgorithmSpecification.MetricDefinitions",
		"AlgorithmSpecification.ContainerEntrypoint", "AlgorithmSpecification.ContainerArguments",
		"InputDataConfig.ChannelName", "InputDataConfig.ContentType", "InputDataConfig.InputMode", "InputDataConfig.CompressionType",
		"InputDataConfig.RecordWrapperType", "InputDataConfig.DataSource.S3DataSource.S3DataType",
		"InputDataConfig.DataSource.S3DataSource.S3Uri", "InputDataConfig.DataSource.S3DataSource.S3DataDistributionType",
		"OutputDataConfig.S3OutputPath", "OutputDataConfig.CompressionType",
		"ResourceConfig.InstanceType", "ResourceConfig.InstanceCount", "ResourceConfig.VolumeSizeInGB",
		"StoppingCondition.MaxRuntimeInSeconds", "StoppingCondition.MaxWaitTimeInSeconds", "EnableManagedSpotTraining", "ProfilerConfig.DisableProfiler",
		"ProfilerConfig.S3OutputPath", "DebugHookConfig.S3OutputPath", // AWS's Python SDK gives them by default
	},
	"CreateProcessingJob": {
		"ProcessingJobName", "RoleArn", "Tags", "Environment", "AppSpecification", "StoppingCondition",
		"ProcessingInputs.InputName", "ProcessingInputs.S3Input.S3Uri", "ProcessingInputs.S3Input.LocalPath",
		"ProcessingInputs.S3Input.S3DataType", "ProcessingInputs.S3Input.S3InputMode",
		"ProcessingInputs.S3Input.S3DataDistributionType", "ProcessingInputs.S3Input.S3CompressionType",
		"ProcessingOutputConfig.Outputs.OutputName", "ProcessingOutputConfig.Outputs.S3Output",
		"ProcessingResources.ClusterConfig.InstanceCount", "ProcessingResources.ClusterConfig.InstanceType",
		"ProcessingResources.ClusterConfig.VolumeSizeInGB", "NetworkConfig.EnableInterContainerTrafficEncryption",
	},
	"CreateTransformJob": {
		"TransformJobName", "ModelName", "MaxConcurrentTransforms", "ModelClientConfig", "MaxPayloadInMB", "BatchStrategy",
		"Environment", "TransformInput.DataSource.S3DataSource", "TransformInput.ContentType", "TransformInput.CompressionType",
		"TransformInput.SplitType", "TransformOutput.S3OutputPath", "TransformOutput.Accept", "TransformOutput.AssembleWith",
		"TransformResources.InstanceType", "TransformResources.InstanceCount", "DataProcessing", "Tags",
	},
	"CreateModel": append([]string{"ModelName", "ExecutionRoleArn", "Tags"}, append(containers("PrimaryContainer"), containers("Containers")...)...),
	"CreateModelPackage": {
		"ModelPackageGroupName", "ModelPackageDescription", "ModelPackageRegistrationType", "InferenceSpecification",
		"CertifyForMarketplace", "ModelApprovalStatus", "MetadataProperties", "ModelMetrics", "ClientToken", "Domain", "Task",
		"SamplePayloadUrl", "CustomerMetadataProperties", "DriftCheckBaselines", "AdditionalInferenceSpecifications",
		"SkipModelValidation", "SourceUri", "ModelCard", "ModelLifeCycle", "Tags",
	},
	"CreateModelPackageGroup": {"ModelPackageGroupName", "ModelPackageGroupDescription", "Tags"},
}

func containers(at string) []string {
	var paths []string
	for _, m := range []string{"ContainerHostname", "Image", "Mode", "ModelDataUrl", "Environment", "ModelPackageName"} {
		paths = append(paths, at+"."+m)
	}
	return append(paths, at+".ModelDataSource.S3DataSource.S3Uri", at+".ModelDataSource.S3DataSource.S3DataType", at+".ModelDataSource.S3DataSource.CompressionType")
}

// Supported returns, by operation, the paths of the members honoured here.
func Supported() map[string][]string { return supported }

// refuseUnsupported returns a ValidationException naming every member that is
// given and not supported here. Members that say "off" count as not given.
func (s *SageMaker) refuseUnsupported(operation string, in any) error {
	paths, ok := supported[operation]
	if !ok {
		return nil
	}
	found := map[string]bool{}
	unsupported(reflect.ValueOf(in).Elem(), "", paths, found)
	if len(found) == 0 {
		return nil
	}
	names := slices.Sorted(maps.Keys(found))
	return s.notSupported(operation, strings.Join(names, ", "))
}

// notSupported is the refusal of something valid on AWS, and its log line.
func (s *SageMaker) notSupported(operation, what string) *wire.Error {
	s.opt.Log.Error("input not supported by the local cloud", "service", "sagemaker", "operation", operation, "input", what)
	return invalid("the local cloud does not support %s in %s", what, operation)
}

func unsupported(v reflect.Value, at string, paths []string, found map[string]bool) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if !f.IsExported() || !given(v.Field(i)) {
			continue
		}
		path := f.Name
		if at != "" {
			path = at + "." + f.Name
		}
		whole, below := false, false
		for _, p := range paths {
			whole = whole || p == path
			below = below || strings.HasPrefix(p, path+".")
		}
		switch {
		case whole:
		case below:
			each(v.Field(i), func(e reflect.Value) { unsupported(e, path, paths, found) })
		default:
			found[path] = true
		}
	}
}

// each calls f with the struct, or the structs of a list.
func each(v reflect.Value, f func(reflect.Value)) {
	switch v.Kind() {
	case reflect.Pointer:
		each(v.Elem(), f)
	case reflect.Slice:
		for i := range v.Len() {
			each(v.Index(i), f)
		}
	case reflect.Struct:
		f(v)
	}
}

// given reports whether a member asks for something: nil, "", false, 0 and empty structs do not.
func given(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil() && given(v.Elem())
	case reflect.Slice, reflect.Map:
		return v.Len() > 0
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() && given(v.Field(i)) {
				return true
			}
		}
		return false
	}
	return !v.IsZero()
}
