"""Calls every operation that the local cloud supports, by boto3, so that each has a right answer to be judged.

    every.py docs/supported-operations.md   with the cloud's endpoint and credentials in the environment, and Millrace deployed

Fails when an operation of the document was not answered with success.
"""
import io
import json
import os
import pathlib
import sys
import time
import urllib.request
import zipfile

import boto3
import botocore
import botocore.config
import botocore.exceptions

ACCOUNT, REGION = '000000000000', 'us-east-1'
SERVICES = {'states': 'stepfunctions'}
done = set()


def client(service):
    # TestState would go to another host name, which an address has not.
    c = boto3.client(SERVICES.get(service, service), config=botocore.config.Config(inject_host_prefix=False))
    c.meta.events.register('after-call.*', lambda model, http_response, **_: http_response.status_code < 300 and done.add((service, model.name)))
    return c


def arn(service, resource):
    return f'arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}'


def until(what, f):
    deadline = time.time() + 90
    while True:
        value = f()
        if value:
            return value
        if time.time() > deadline:
            sys.exit(f'{what}: not within 90 s')
        time.sleep(0.1)


def s3():
    c, bucket = client('s3'), 'every-operation'
    c.create_bucket(Bucket=bucket)
    c.list_buckets()
    c.head_bucket(Bucket=bucket)
    c.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={'Status': 'Enabled'})
    c.get_bucket_versioning(Bucket=bucket)
    put = c.put_object(Bucket=bucket, Key='a b/ü&<k>', Body=b'hello', ContentType='text/plain', Metadata={'one': '1'}, Tagging='a=1')
    at = {'Bucket': bucket, 'Key': 'a b/ü&<k>'}
    c.get_object(**at)['Body'].read()
    c.get_object(**at, VersionId=put['VersionId'], Range='bytes=1-2')['Body'].read()
    c.head_object(**at)
    c.get_object_attributes(**at, ObjectAttributes=['ETag', 'ObjectSize', 'StorageClass', 'Checksum', 'ObjectParts'])
    c.get_object_acl(**at)
    c.put_object_tagging(**at, Tagging={'TagSet': [{'Key': 'k', 'Value': 'v'}]})
    c.get_object_tagging(**at)
    c.delete_object_tagging(**at)
    form(c, bucket)
    c.copy_object(Bucket=bucket, Key='copy', CopySource={'Bucket': bucket, 'Key': at['Key']})
    c.list_objects(Bucket=bucket)
    c.list_objects_v2(Bucket=bucket, Delimiter='/', FetchOwner=True)
    c.list_object_versions(Bucket=bucket)
    multipart = c.create_multipart_upload(Bucket=bucket, Key='parts')
    part = {'Bucket': bucket, 'Key': 'parts', 'UploadId': multipart['UploadId']}
    first = c.upload_part(**part, PartNumber=1, Body=b'x' * (5 << 20))
    second = c.upload_part_copy(**part, PartNumber=2, CopySource={'Bucket': bucket, 'Key': 'copy'})
    c.list_parts(**part)
    c.list_multipart_uploads(Bucket=bucket)
    c.complete_multipart_upload(**part, MultipartUpload={'Parts': [{'PartNumber': 1, 'ETag': first['ETag']}, {'PartNumber': 2, 'ETag': second['CopyPartResult']['ETag']}]})
    gone = c.create_multipart_upload(Bucket=bucket, Key='gone')
    c.abort_multipart_upload(Bucket=bucket, Key='gone', UploadId=gone['UploadId'])
    s3_settings(c, bucket)
    c.delete_object(Bucket=bucket, Key='copy')
    versions = c.list_object_versions(Bucket=bucket)
    c.delete_objects(Bucket=bucket, Delete={'Objects': [{'Key': v['Key'], 'VersionId': v['VersionId']} for v in versions.get('Versions', []) + versions.get('DeleteMarkers', [])]})
    c.delete_bucket(Bucket=bucket)


def never(service, operation, code, **arguments):
    """Calls an operation whose one answer here is an error."""
    try:
        getattr(client(service), botocore.xform_name(operation))(**arguments)
    except botocore.exceptions.ClientError as e:
        if e.response['Error']['Code'] == code:
            done.add((service, operation))


def form(c, bucket):
    post = c.generate_presigned_post(bucket, 'from a form')
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}' for name, value in post['fields'].items()]
    parts.append('Content-Disposition: form-data; name="file"; filename="f"\r\n\r\nhello')
    body = ''.join(f'--edge\r\n{part}\r\n' for part in parts) + '--edge--\r\n'
    request = urllib.request.Request(post['url'], body.encode(), {'Content-Type': 'multipart/form-data; boundary=edge'})
    with urllib.request.urlopen(request) as answer:
        if answer.status == 204:
            done.add(('s3', 'PostObject'))


def s3_settings(c, bucket):
    c.get_bucket_acl(Bucket=bucket)
    policy = {'Version': '2012-10-17', 'Statement': [{'Effect': 'Deny', 'Principal': '*', 'Action': 's3:GetObject', 'Resource': f'arn:aws:s3:::{bucket}/secret/*'}]}
    c.put_bucket_policy(Bucket=bucket, Policy=json.dumps(policy))
    c.get_bucket_policy(Bucket=bucket)
    c.delete_bucket_policy(Bucket=bucket)
    c.put_bucket_tagging(Bucket=bucket, Tagging={'TagSet': [{'Key': 'k', 'Value': 'v'}]})
    c.get_bucket_tagging(Bucket=bucket)
    c.delete_bucket_tagging(Bucket=bucket)
    c.put_bucket_cors(Bucket=bucket, CORSConfiguration={'CORSRules': [{'AllowedMethods': ['GET'], 'AllowedOrigins': ['*']}]})
    c.get_bucket_cors(Bucket=bucket)
    c.delete_bucket_cors(Bucket=bucket)
    c.put_bucket_encryption(Bucket=bucket, ServerSideEncryptionConfiguration={'Rules': [{'ApplyServerSideEncryptionByDefault': {'SSEAlgorithm': 'AES256'}}]})
    c.get_bucket_encryption(Bucket=bucket)
    c.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={'Rules': [{'ID': 'r', 'Status': 'Enabled', 'Filter': {'Prefix': 'tmp/'}, 'Expiration': {'Days': 1}}]})
    c.get_bucket_lifecycle_configuration(Bucket=bucket)
    c.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={'EventBridgeConfiguration': {}})
    c.get_bucket_notification_configuration(Bucket=bucket)
    c.put_bucket_ownership_controls(Bucket=bucket, OwnershipControls={'Rules': [{'ObjectOwnership': 'BucketOwnerPreferred'}]})
    c.get_bucket_ownership_controls(Bucket=bucket)
    c.put_bucket_acl(Bucket=bucket, ACL='private')
    c.delete_bucket_ownership_controls(Bucket=bucket)
    c.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration={'BlockPublicAcls': True})
    c.get_public_access_block(Bucket=bucket)
    never('s3', 'GetObjectLockConfiguration', 'ObjectLockConfigurationNotFoundError', Bucket=bucket)


def iam():
    c = client('iam')
    trust = {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': 'sts:AssumeRole', 'Principal': {'AWS': f'arn:aws:iam::{ACCOUNT}:root',
             'Service': ['lambda.amazonaws.com', 'states.amazonaws.com', 'sagemaker.amazonaws.com', 'events.amazonaws.com']}}]}
    c.create_role(RoleName='every', AssumeRolePolicyDocument=json.dumps(trust), Description='of a test', Tags=[{'Key': 'k', 'Value': 'v'}])
    c.put_role_policy(RoleName='every', PolicyName='all', PolicyDocument=json.dumps({'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': '*', 'Resource': '*'}]}))
    c.update_assume_role_policy(RoleName='every', PolicyDocument=json.dumps(trust))
    c.update_role(RoleName='every', Description='of a test still')
    c.get_role(RoleName='every')
    c.get_role_policy(RoleName='every', PolicyName='all')
    c.list_roles()
    c.list_role_policies(RoleName='every')
    c.tag_role(RoleName='every', Tags=[{'Key': 'l', 'Value': 'v'}])
    c.list_role_tags(RoleName='every')
    c.untag_role(RoleName='every', TagKeys=['l'])
    managed = 'arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole'
    c.attach_role_policy(RoleName='every', PolicyArn=managed)
    c.list_attached_role_policies(RoleName='every')
    c.detach_role_policy(RoleName='every', PolicyArn=managed)
    c.create_role(RoleName='gone', AssumeRolePolicyDocument=json.dumps(trust))
    c.put_role_policy(RoleName='gone', PolicyName='all', PolicyDocument=json.dumps({'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': '*', 'Resource': '*'}]}))
    c.delete_role_policy(RoleName='gone', PolicyName='all')
    c.delete_role(RoleName='gone')
    sts = client('sts')
    sts.get_caller_identity()
    sts.assume_role(RoleArn=f'arn:aws:iam::{ACCOUNT}:role/every', RoleSessionName='every')
    return f'arn:aws:iam::{ACCOUNT}:role/every'


def sqs_and_sns():
    c = client('sqs')
    url = c.create_queue(QueueName='every', Attributes={'VisibilityTimeout': '30'}, tags={'k': 'v'})['QueueUrl']
    dead = c.create_queue(QueueName='every-dead')['QueueUrl']
    c.get_queue_url(QueueName='every')
    c.list_queues(QueueNamePrefix='every')
    policy = {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Principal': {'Service': ['sns.amazonaws.com', 'events.amazonaws.com']}, 'Action': 'sqs:SendMessage', 'Resource': arn('sqs', 'every')}]}
    c.set_queue_attributes(QueueUrl=url, Attributes={'RedrivePolicy': json.dumps({'deadLetterTargetArn': arn('sqs', 'every-dead'), 'maxReceiveCount': 3}), 'Policy': json.dumps(policy)})
    c.get_queue_attributes(QueueUrl=url, AttributeNames=['All'])
    c.list_dead_letter_source_queues(QueueUrl=dead)
    c.tag_queue(QueueUrl=url, Tags={'l': 'v'})
    c.list_queue_tags(QueueUrl=url)
    c.untag_queue(QueueUrl=url, TagKeys=['l'])
    c.send_message(QueueUrl=url, MessageBody='one', MessageAttributes={'a': {'DataType': 'String', 'StringValue': 'x'}})
    c.send_message_batch(QueueUrl=url, Entries=[{'Id': '1', 'MessageBody': 'two'}, {'Id': '2', 'MessageBody': 'three'}])
    got = []
    while len(got) < 3:
        got += c.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1, AttributeNames=['All'], MessageAttributeNames=['All'])['Messages']
    c.change_message_visibility(QueueUrl=url, ReceiptHandle=got[0]['ReceiptHandle'], VisibilityTimeout=60)
    c.change_message_visibility_batch(QueueUrl=url, Entries=[{'Id': '1', 'ReceiptHandle': got[1]['ReceiptHandle'], 'VisibilityTimeout': 60}, {'Id': '2', 'ReceiptHandle': 'no-such-handle', 'VisibilityTimeout': 60}])
    c.delete_message(QueueUrl=url, ReceiptHandle=got[0]['ReceiptHandle'])
    c.delete_message_batch(QueueUrl=url, Entries=[{'Id': '1', 'ReceiptHandle': got[1]['ReceiptHandle']}])
    topics = client('sns')
    topic = topics.create_topic(Name='every', Tags=[{'Key': 'k', 'Value': 'v'}])['TopicArn']
    topics.list_topics()
    topics.set_topic_attributes(TopicArn=topic, AttributeName='DisplayName', AttributeValue='Every')
    topics.get_topic_attributes(TopicArn=topic)
    subscription = topics.subscribe(TopicArn=topic, Protocol='sqs', Endpoint=arn('sqs', 'every'), ReturnSubscriptionArn=True)['SubscriptionArn']
    topics.set_subscription_attributes(SubscriptionArn=subscription, AttributeName='RawMessageDelivery', AttributeValue='true')
    topics.get_subscription_attributes(SubscriptionArn=subscription)
    topics.list_subscriptions()
    topics.list_subscriptions_by_topic(TopicArn=topic)
    topics.publish(TopicArn=topic, Message='four', Subject='s', MessageAttributes={'a': {'DataType': 'String', 'StringValue': 'x'}})
    topics.publish_batch(TopicArn=topic, PublishBatchRequestEntries=[{'Id': '1', 'Message': 'five'}])
    topics.tag_resource(ResourceArn=topic, Tags=[{'Key': 'l', 'Value': 'v'}])
    topics.list_tags_for_resource(ResourceArn=topic)
    topics.untag_resource(ResourceArn=topic, TagKeys=['l'])
    topics.unsubscribe(SubscriptionArn=subscription)
    topics.delete_topic(TopicArn=topic)
    c.purge_queue(QueueUrl=url)
    c.delete_queue(QueueUrl=dead)


def logs():
    c = client('logs')
    group = {'logGroupName': '/every/group'}
    c.create_log_group(**group, tags={'k': 'v'})
    c.put_retention_policy(**group, retentionInDays=1)
    c.describe_log_groups(logGroupNamePrefix='/every')
    c.delete_retention_policy(**group)
    c.create_log_stream(**group, logStreamName='s')
    c.put_log_events(**group, logStreamName='s', logEvents=[{'timestamp': int(time.time() * 1000), 'message': f'line {n}'} for n in range(3)])
    c.describe_log_streams(**group, orderBy='LastEventTime', descending=True)
    c.get_log_events(**group, logStreamName='s', startFromHead=True, limit=2)
    c.filter_log_events(**group, filterPattern='line')
    c.tag_log_group(**group, tags={'l': 'v'})
    c.list_tags_log_group(**group)
    c.untag_log_group(**group, tags=['l'])
    of = {'resourceArn': arn('logs', 'log-group:/every/group')}
    c.tag_resource(**of, tags={'m': 'v'})
    c.list_tags_for_resource(**of)
    c.untag_resource(**of, tagKeys=['m'])
    c.delete_log_stream(**group, logStreamName='s')
    c.delete_log_group(**group)


def events(role):
    c = client('events')
    c.create_event_bus(Name='every', Description='of a test', Tags=[{'Key': 'k', 'Value': 'v'}])
    c.update_event_bus(Name='every', Description='of a test still')
    c.list_event_buses()
    c.put_permission(EventBusName='every', Policy=json.dumps({'Version': '2012-10-17', 'Statement': [{'Sid': 's', 'Effect': 'Allow', 'Principal': {'AWS': f'arn:aws:iam::{ACCOUNT}:root'}, 'Action': 'events:PutEvents', 'Resource': arn('events', 'event-bus/every')}]}))
    c.describe_event_bus(Name='every')
    c.remove_permission(EventBusName='every', RemoveAllPermissions=True)
    rule = c.put_rule(Name='every', EventBusName='every', EventPattern='{"source":["every"]}', Description='r')['RuleArn']
    c.put_rule(Name='hourly', ScheduleExpression='rate(1 hour)', State='DISABLED')
    c.describe_rule(Name='every', EventBusName='every')
    c.describe_rule(Name='hourly')
    c.list_rules(EventBusName='every')
    c.put_targets(Rule='every', EventBusName='every', Targets=[{'Id': 'q', 'Arn': arn('sqs', 'every'), 'RetryPolicy': {'MaximumRetryAttempts': 1},
                  'InputTransformer': {'InputPathsMap': {'d': '$.detail'}, 'InputTemplate': '{"got":<d>}'}}])
    c.list_targets_by_rule(Rule='every', EventBusName='every')
    c.list_rule_names_by_target(TargetArn=arn('sqs', 'every'), EventBusName='every')
    c.put_events(Entries=[{'Source': 'every', 'DetailType': 'Every', 'Detail': '{"a":1}', 'EventBusName': 'every'}, {'Source': 'every'}])
    c.disable_rule(Name='every', EventBusName='every')
    c.enable_rule(Name='every', EventBusName='every')
    c.test_event_pattern(EventPattern='{"source":["a"]}', Event=json.dumps({'id': '1', 'source': 'a', 'detail-type': 't', 'account': ACCOUNT, 'time': '2026-03-01T10:00:00Z', 'region': REGION, 'resources': [], 'detail': {}}))
    c.tag_resource(ResourceARN=rule, Tags=[{'Key': 'l', 'Value': 'v'}])
    c.list_tags_for_resource(ResourceARN=rule)
    c.untag_resource(ResourceARN=rule, TagKeys=['l'])
    c.remove_targets(Rule='every', EventBusName='every', Ids=['q'])
    for name, bus in (('every', 'every'), ('hourly', 'default')):
        c.delete_rule(Name=name, EventBusName=bus)
    c.delete_event_bus(Name='every')


def function(role):
    c, name = client('lambda'), {'FunctionName': 'every'}
    code = io.BytesIO()
    with zipfile.ZipFile(code, 'w') as z:
        entry = zipfile.ZipInfo('bootstrap')
        entry.external_attr = 0o755 << 16
        z.writestr(entry, '#!/bin/sh\nexit 1\n')
    made = c.create_function(**name, Runtime='provided.al2023', Handler='bootstrap', Role=role, Code={'ZipFile': code.getvalue()}, Timeout=5, Environment={'Variables': {'AB': '1'}}, Tags={'k': 'v'})
    c.get_function(**name)
    c.get_function_configuration(**name)
    c.list_functions()
    c.update_function_configuration(**name, MemorySize=256)
    c.update_function_code(**name, ZipFile=code.getvalue())
    c.add_permission(**name, StatementId='s', Action='lambda:InvokeFunction', Principal='events.amazonaws.com')
    c.get_policy(**name)
    c.remove_permission(**name, StatementId='s')
    c.put_function_event_invoke_config(**name, MaximumRetryAttempts=0, MaximumEventAgeInSeconds=60)
    c.update_function_event_invoke_config(**name, DestinationConfig={'OnFailure': {'Destination': arn('sqs', 'every')}})
    c.get_function_event_invoke_config(**name)
    c.delete_function_event_invoke_config(**name)
    c.put_function_concurrency(**name, ReservedConcurrentExecutions=1)
    c.get_function_concurrency(**name)
    c.delete_function_concurrency(**name)
    c.tag_resource(Resource=made['FunctionArn'], Tags={'l': 'v'})
    c.list_tags(Resource=made['FunctionArn'])
    c.untag_resource(Resource=made['FunctionArn'], TagKeys=['l'])
    failed = c.invoke(**name, Payload=b'{}', LogType='Tail')
    assert failed['FunctionError'], failed
    c.invoke(FunctionName='millrace-newdata', InvocationType='DryRun')
    c.invoke(FunctionName='millrace-newdata', Payload=json.dumps({'source': 'nobody', 'detail-type': 'Nothing', 'detail': {}}).encode())
    c.delete_function(**name)


def states(role):
    c = client('states')
    definition = {'StartAt': 'W', 'States': {'W': {'Type': 'Task', 'Resource': 'arn:aws:states:::sqs:sendMessage.waitForTaskToken', 'HeartbeatSeconds': 600,
                  'Parameters': {'QueueUrl.$': '$.url', 'MessageBody.$': '$$.Task.Token'}, 'Next': 'P'}, 'P': {'Type': 'Pass', 'End': True}}}
    made = c.create_state_machine(name='every', definition=json.dumps(definition), roleArn=role, publish=True, versionDescription='first', tags=[{'key': 'k', 'value': 'v'}])
    machine = made['stateMachineArn']
    c.list_state_machines()
    c.describe_state_machine(stateMachineArn=machine)
    c.validate_state_machine_definition(definition='{"StartAt":"A","States":{}}')
    c.test_state(definition='{"Type":"Pass","Result":1,"End":true}', roleArn=role)
    c.update_state_machine(stateMachineArn=machine, definition=json.dumps({**definition, 'Comment': 'c'}))
    second = c.publish_state_machine_version(stateMachineArn=machine, description='second')['stateMachineVersionArn']
    c.list_state_machine_versions(stateMachineArn=machine)
    alias = c.create_state_machine_alias(name='live', routingConfiguration=[{'stateMachineVersionArn': second, 'weight': 100}])['stateMachineAliasArn']
    c.describe_state_machine_alias(stateMachineAliasArn=alias)
    c.list_state_machine_aliases(stateMachineArn=machine)
    c.update_state_machine_alias(stateMachineAliasArn=alias, description='d')
    c.tag_resource(resourceArn=machine, tags=[{'key': 'l', 'value': 'v'}])
    c.list_tags_for_resource(resourceArn=machine)
    c.untag_resource(resourceArn=machine, tagKeys=['l'])
    queue = client('sqs')
    url = queue.create_queue(QueueName='every-token')['QueueUrl']

    def begin(name, of=machine):
        execution = c.start_execution(stateMachineArn=of, name=name, input=json.dumps({'url': url}))['executionArn']
        message = until('a token', lambda: queue.receive_message(QueueUrl=url, WaitTimeSeconds=1).get('Messages'))[0]
        queue.delete_message(QueueUrl=url, ReceiptHandle=message['ReceiptHandle'])
        return execution, message['Body']

    def ended(execution):
        until(execution, lambda: c.describe_execution(executionArn=execution)['status'] != 'RUNNING')

    execution, token = begin('succeeds', alias)
    c.send_task_heartbeat(taskToken=token)
    c.describe_execution(executionArn=execution)
    c.send_task_success(taskToken=token, output='{}')
    ended(execution)
    c.get_execution_history(executionArn=execution, reverseOrder=True)
    c.describe_state_machine_for_execution(executionArn=execution)
    execution, token = begin('fails')
    c.send_task_failure(taskToken=token, error='E', cause='c')
    ended(execution)
    c.get_execution_history(executionArn=execution)
    c.redrive_execution(executionArn=execution)
    c.stop_execution(executionArn=execution, error='Stopped', cause='by a test')
    ended(execution)
    c.list_executions(stateMachineArn=machine, statusFilter='ABORTED')
    c.delete_state_machine_alias(stateMachineAliasArn=alias)
    c.delete_state_machine_version(stateMachineVersionArn=second)
    c.delete_state_machine(stateMachineArn=machine)


def sagemaker(role, image, bucket):
    c, at = client('sagemaker'), f's3://{bucket}/every'
    machine = {'InstanceType': 'ml.m5.xlarge', 'InstanceCount': 1}
    stop = {'MaxRuntimeInSeconds': 600}
    jobs(c, 'Processing', dict(RoleArn=role, AppSpecification={'ImageUri': image, 'ContainerArguments': ['no-such-command']}, StoppingCondition=stop,
         ProcessingResources={'ClusterConfig': {**machine, 'VolumeSizeInGB': 10}}, Tags=[{'Key': 'k', 'Value': 'v'}]))
    jobs(c, 'Training', dict(RoleArn=role, AlgorithmSpecification={'TrainingImage': image, 'TrainingInputMode': 'File'}, HyperParameters={'a': '1'},
         OutputDataConfig={'S3OutputPath': at}, ResourceConfig={**machine, 'VolumeSizeInGB': 10}, StoppingCondition=stop))
    client('s3').put_object(Bucket=bucket, Key='every/model.tar.gz', Body=b'no model')
    c.create_model(ModelName='every', ExecutionRoleArn=role, PrimaryContainer={'Image': image, 'ModelDataUrl': at + '/model.tar.gz'})
    c.describe_model(ModelName='every')
    c.list_models(NameContains='every')
    jobs(c, 'Transform', dict(ModelName='every', TransformInput={'DataSource': {'S3DataSource': {'S3DataType': 'S3Prefix', 'S3Uri': at + '/in'}}},
         TransformOutput={'S3OutputPath': at + '/out'}, TransformResources=machine))
    c.delete_model(ModelName='every')
    c.create_model_package_group(ModelPackageGroupName='every')
    c.describe_model_package_group(ModelPackageGroupName='every')
    c.list_model_package_groups(NameContains='every')
    package = c.create_model_package(ModelPackageGroupName='every', ModelApprovalStatus='PendingManualApproval', InferenceSpecification={'Containers': [{'Image': image, 'ModelDataUrl': at + '/model.tar.gz'}],
                                     'SupportedContentTypes': ['text/csv'], 'SupportedResponseMIMETypes': ['text/csv']})['ModelPackageArn']
    c.describe_model_package(ModelPackageName=package)
    c.list_model_packages(ModelPackageGroupName='every')
    c.update_model_package(ModelPackageArn=package, ModelApprovalStatus='Approved', ApprovalDescription='d', CustomerMetadataProperties={'k': 'v'})
    processing = arn('sagemaker', 'processing-job/every')
    c.add_tags(ResourceArn=processing, Tags=[{'Key': 'l', 'Value': 'v'}])
    c.list_tags(ResourceArn=processing)
    c.delete_tags(ResourceArn=processing, TagKeys=['l'])
    c.delete_model_package(ModelPackageName=package)
    c.delete_model_package_group(ModelPackageGroupName='every')


def jobs(c, kind, request):
    """Makes a job of a kind and lets it fail, and stops one before it has ended."""
    def call(verb, **arguments):
        return getattr(c, f'{verb}_{kind.lower()}_job')(**arguments)

    name = {kind + 'JobName': 'every'}
    call('create', **name, **request)
    call('describe', **name)
    getattr(c, f'list_{kind.lower()}_jobs')(NameContains='every', SortBy='CreationTime', SortOrder='Descending')
    until(kind, lambda: call('describe', **name)[kind + 'JobStatus'] == 'Failed')
    slow = {'on': 'job', 'do': 'slow', 'seconds': 600, 'match': {'job': 'every-slow'}}
    control('POST', slow)  # so that it lives when it is stopped
    name = {kind + 'JobName': 'every-slow'}
    call('create', **name, **request)
    call('stop', **name)
    until(kind, lambda: call('describe', **name)[kind + 'JobStatus'] == 'Stopped')
    control('DELETE')


def control(method, fault=None):
    """Asks the local cloud's own path for faults."""
    body = None if fault is None else json.dumps(fault).encode()
    request = urllib.request.Request(os.environ['AWS_ENDPOINT_URL'] + '/_millrace/faults', body, {'Content-Type': 'application/json'}, method=method)
    urllib.request.urlopen(request).close()


def cloudformation():
    c, name = client('cloudformation'), {'StackName': 'every'}
    template = {'Parameters': {'P': {'Type': 'String', 'Default': 'p'}}, 'Resources': {'T': {'Type': 'AWS::SNS::Topic', 'Properties': {'TopicName': 'every-stack'}}},
                'Outputs': {'O': {'Value': {'Ref': 'T'}, 'Export': {'Name': 'every-export'}}}}
    text = json.dumps(template)
    c.validate_template(TemplateBody=text)
    c.get_template_summary(TemplateBody=text)
    c.create_stack(**name, TemplateBody=text, Tags=[{'Key': 'k', 'Value': 'v'}])
    c.get_waiter('stack_create_complete').wait(**name, WaiterConfig={'Delay': 1})
    c.describe_stacks(**name)
    c.list_stacks()
    c.describe_stack_events(**name)
    c.describe_stack_resource(**name, LogicalResourceId='T')
    c.describe_stack_resources(**name)
    c.list_stack_resources(**name)
    c.list_exports()
    using = {'Resources': {'T': {'Type': 'AWS::SNS::Topic', 'Properties': {'DisplayName': {'Fn::ImportValue': 'every-export'}}}}}
    c.create_stack(StackName='every-importer', TemplateBody=json.dumps(using))
    c.get_waiter('stack_create_complete').wait(StackName='every-importer', WaiterConfig={'Delay': 1})
    c.list_imports(ExportName='every-export')
    c.delete_stack(StackName='every-importer')
    c.get_waiter('stack_delete_complete').wait(StackName='every-importer', WaiterConfig={'Delay': 1})
    c.get_template(**name)
    template['Resources']['T']['Properties']['DisplayName'] = 'one'
    c.update_stack(**name, TemplateBody=json.dumps(template))
    c.get_waiter('stack_update_complete').wait(**name, WaiterConfig={'Delay': 1})
    template['Resources']['T']['Properties']['DisplayName'] = 'two'
    for change in ('one', 'two'):
        c.create_change_set(**name, ChangeSetName=change, TemplateBody=json.dumps(template))
        c.get_waiter('change_set_create_complete').wait(**name, ChangeSetName=change, WaiterConfig={'Delay': 1})
    c.describe_change_set(**name, ChangeSetName='one')
    c.list_change_sets(**name)
    c.delete_change_set(**name, ChangeSetName='one')
    c.execute_change_set(**name, ChangeSetName='two')
    c.get_waiter('stack_update_complete').wait(**name, WaiterConfig={'Delay': 1})
    c.update_termination_protection(**name, EnableTerminationProtection=True)
    c.update_termination_protection(**name, EnableTerminationProtection=False)
    c.delete_stack(**name)
    c.get_waiter('stack_delete_complete').wait(**name, WaiterConfig={'Delay': 1})


def ssm_and_ecr():
    c = client('ssm')
    c.put_parameter(Name='/every/p', Value='1', Type='String', Description='d', Tags=[{'Key': 'k', 'Value': 'v'}])
    c.put_parameter(Name='/every/q', Value='1,2', Type='StringList')
    c.get_parameter(Name='/every/p')
    c.get_parameters(Names=['/every/p', '/every/none'])
    c.describe_parameters(ParameterFilters=[{'Key': 'Name', 'Option': 'BeginsWith', 'Values': ['/every']}])
    of = {'ResourceType': 'Parameter', 'ResourceId': '/every/p'}
    c.add_tags_to_resource(**of, Tags=[{'Key': 'l', 'Value': 'v'}])
    c.list_tags_for_resource(**of)
    c.remove_tags_from_resource(**of, TagKeys=['l'])
    c.delete_parameter(Name='/every/p')
    c.delete_parameters(Names=['/every/q', '/every/none'])
    r, name = client('ecr'), {'repositoryName': 'every'}
    made = r.create_repository(**name, tags=[{'Key': 'k', 'Value': 'v'}])['repository']['repositoryArn']
    r.describe_repositories(repositoryNames=['every'])
    policy = json.dumps({'Version': '2012-10-17', 'Statement': [{'Sid': 's', 'Effect': 'Allow', 'Principal': '*', 'Action': ['ecr:BatchGetImage']}]})
    r.set_repository_policy(**name, policyText=policy)
    r.get_repository_policy(**name)
    r.delete_repository_policy(**name)
    rules = {'rules': [{'rulePriority': 1, 'description': 'a few', 'selection': {'tagStatus': 'any', 'countType': 'imageCountMoreThan', 'countNumber': 5}, 'action': {'type': 'expire'}}]}
    r.put_lifecycle_policy(**name, lifecyclePolicyText=json.dumps(rules))
    r.get_lifecycle_policy(**name)
    r.delete_lifecycle_policy(**name)
    r.put_image_scanning_configuration(**name, imageScanningConfiguration={'scanOnPush': True})
    r.put_image_tag_mutability(**name, imageTagMutability='IMMUTABLE')
    r.list_images(**name)
    r.describe_images(**name)
    r.tag_resource(resourceArn=made, tags=[{'Key': 'l', 'Value': 'v'}])
    r.list_tags_for_resource(resourceArn=made)
    r.untag_resource(resourceArn=made, tagKeys=['l'])
    r.delete_repository(**name)


def main(supported):
    stack = client('cloudformation').describe_stacks(StackName='Millrace')['Stacks'][0]
    ledger = next(o['OutputValue'] for o in stack['Outputs'] if o['OutputKey'] == 'LedgerBucket')
    image = next(p['ParameterValue'] for p in stack['Parameters'] if p['ParameterKey'] == 'WorkerImage')
    role = iam()
    s3()
    sqs_and_sns()
    logs()
    events(role)
    function(role)
    states(role)
    sagemaker(role, image, ledger)
    cloudformation()
    ssm_and_ecr()
    missing, service = [], None
    for line in pathlib.Path(supported).read_text().splitlines():
        if line.startswith('## '):
            service = line[3:]
        elif line.startswith('- ') and ' ' not in service and (service, line[2:]) not in done:
            missing.append(f'{service}:{line[2:]}')
    if missing:
        sys.exit('not answered with success: ' + ', '.join(missing))
    print(f'{len(done)} operations answered')


if __name__ == '__main__':
    main(sys.argv[1])
