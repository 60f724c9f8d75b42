"""What the models leave out, and where they are wrong."""

# Errors that any operation may answer and that models leave out: AWS's common errors, of which each service documents
# a list; then those that a service's documentation or AWS's recorded answers show.
COMMON = set('''AccessDeniedException ExpiredTokenException IncompleteSignatureException InternalFailure InvalidSignatureException
MissingAuthenticationTokenException RequestEntityTooLargeException SerializationException ServiceUnavailable ThrottlingException
UnknownOperationException UnrecognizedClientException'''.split())
QUERY_COMMON = set('''AccessDenied ExpiredToken IncompleteSignature InternalFailure InvalidAction InvalidClientTokenId MalformedQueryString MalformedInput
MissingAuthenticationToken RequestEntityTooLargeException ServiceUnavailable SignatureDoesNotMatch Throttling ValidationError'''.split())
EXTRA = {
    'sagemaker': {'ValidationException'},
    'states': {'ValidationException', 'InvalidName'},
    'events': {'ValidationException'},
    'ssm': {'ValidationException'},
    'lambda': {'ValidationException', 'RequestTooLargeException'},
    'logs': {'InvalidParameterException', 'ValidationException'},
    'sqs': {'InvalidParameterValueException', 'MissingRequiredParameterException', 'InvalidAttributeName', 'InvalidAttributeValue', 'InvalidParameterCombination'},
    'sns': {'InvalidParameter', 'NotFound'},
    'iam': set(),
    'sts': set(),
    'ecr': {'InvalidParameterException'},
    'cloudformation': {'ValidationError'},
    's3': set('''AccessControlListNotSupported AccessDenied AuthorizationHeaderMalformed AuthorizationQueryParametersError BadDigest BadRequest BucketAlreadyExists
BucketAlreadyOwnedByYou BucketNotEmpty EntityTooLarge EntityTooSmall IllegalLocationConstraintException IncompleteBody InternalError
ExpiredToken InvalidAccessKeyId InvalidArgument InvalidBucketName InvalidBucketState InvalidDigest InvalidLocationConstraint InvalidPart InvalidPartNumber InvalidPartOrder InvalidRange
InvalidRequest InvalidStorageClass InvalidTag InvalidURI KeyTooLongError MalformedACLError MalformedPolicy MalformedXML
MetadataTooLarge MethodNotAllowed MissingContentLength NoSuchBucket NoSuchBucketPolicy NoSuchCORSConfiguration NoSuchKey
NoSuchLifecycleConfiguration NoSuchPublicAccessBlockConfiguration NoSuchTagSet NoSuchUpload NoSuchVersion NotImplemented
ObjectLockConfigurationNotFoundError ObjectNotInActiveTierError OperationAborted OwnershipControlsNotFoundError PermanentRedirect
PreconditionFailed ConditionalRequestConflict RequestTimeTooSkewed ServerSideEncryptionConfigurationNotFoundError ServiceUnavailable
SignatureDoesNotMatch SlowDown XAmzContentSHA256Mismatch IllegalVersioningConfigurationException InvalidBucketOwnerAWSAccountID
InvalidPolicyDocument InvalidToken MaxPostPreDataLengthExceededError'''.split()),
}


# Where the models are known to be wrong: the beginning of a fault's line, with the reason.
EXCEPT = {
    'events ListTargetsByRule .Targets: 0 is under 1': 'AWS answers an empty list for a rule without targets (recorded)',
    'cloudformation CreateChangeSet (top): 200 for a request that the model does not allow: .DeploymentConfig.Mode is no member': 'the CDK CLI knows a newer model',
    'cloudformation DeleteStack (top): 200 for a request that the model does not allow: .DeploymentConfig.Mode is no member': 'the CDK CLI knows a newer model',
    "cloudformation DescribeStackEvents .StackEvents[].ResourceStatus: 'REVIEW_IN_PROGRESS'": "an event of the stack itself has the stack's status",
    "cloudformation DescribeStackEvents .StackEvents[].ResourceStatus: 'UPDATE_COMPLETE_CLEANUP_IN_PROGRESS'": "an event of the stack itself has the stack's status",
    "cloudformation DescribeStackEvents .StackEvents[].ResourceStatus: 'UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS'": "an event of the stack itself has the stack's status",
    'ecr ListImages .imageIds: 0 is under 1': 'the limit is for requests, which share the shape; a repository without images has none to list',
    "s3 ListObjectVersions .Versions[].StorageClass: 'STANDARD_IA' is none of STANDARD": 'the enum is older than the storage classes, which versions have too',
    's3 PutObject (top): 200 for a request that the model does not allow: ?If-None-Match is no query member': 'SDKs put headers into the query of presigned URLs (recorded)',
    'sqs SendMessage (top): 200 for a request that the model does not allow: .Colour is no member': 'the conformance suite sends one: AWS passes over such members',
    'sqs SendMessageBatch .Failed: is required and missing': 'AWS leaves out an empty list (as recorded)',
    'sqs DeleteMessageBatch .Failed: is required and missing': 'AWS leaves out an empty list (as recorded)',
    'sqs ChangeMessageVisibilityBatch .Failed: is required and missing': 'AWS leaves out an empty list (as recorded)',
    'sqs SendMessageBatch .Successful: is required and missing': 'AWS leaves out an empty list (as recorded)',
    'sqs DeleteMessageBatch .Successful: is required and missing': 'AWS leaves out an empty list (as recorded)',
    'sqs ChangeMessageVisibilityBatch .Successful: is required and missing': 'AWS leaves out an empty list (as recorded)',
}
