"""Walks through every paginator, and awaits every waiter, that boto3 has for what the local cloud supports.

    pages.py docs/supported-operations.md   with the endpoint and credentials of an empty cloud in the environment, whose image "program" is program.py

Each listing is read whole, in pages, and in bits that begin where the one before ended: all three give the same, complete
and in AWS's order. Each waiter sees what it awaits, and gives up at what cannot become that any more.
Fails when a paginator or a waiter of a supported operation was left out.
"""
import functools
import io
import json
import pathlib
import sys
import time
import zipfile

import boto3
import botocore
import botocore.exceptions

SERVICES = {'states': 'stepfunctions'}
ACCOUNT, REGION = '000000000000', 'us-east-1'
walked, awaited = set(), set()


@functools.cache
def client(service):
    return boto3.client(SERVICES.get(service, service))


def arn(service, resource):
    return f'arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}'


def name(n):
    return f'n{n:03d}'


def same(what, got, want):
    if got != want:
        sys.exit(f'{what}: got {got}, want {want}')


def walk(service, operation, want, of, size=3, order=True, **arguments):
    """Reads a listing in three ways. of makes what want is told in out of an entry; size None is for operations that have
    pages of their own length, and are given more than one."""
    c = client(service)
    paginator = c.get_paginator(botocore.xform_name(operation))
    what = f'{service} {operation}'

    def entries(*pages, keys=paginator.result_keys):
        return [of(e) for key in keys for page in pages for e in key.search(page) or []]

    whole = entries(*paginator.paginate(**arguments))
    same(what, whole if order else sorted(whole), want if order else sorted(want))
    pages = list(paginator.paginate(**arguments, PaginationConfig={'PageSize': size} if size else {}))
    lengths = [len(entries(p)) for p in pages]
    if len(pages) < 2 or size and max(lengths) > size:
        sys.exit(f'{what}: pages of {lengths} for a size of {size}')
    same(what + ' in pages', entries(*pages), whole)
    walked.add((service, operation))
    first = paginator.result_keys[:1]  # of the others, boto3 forgets what is on a page that it begins within
    bits, token, most = [], None, size + 1 if size else len(want) // 2 + 1
    while True:  # a bit ends within a page
        config = {'MaxItems': most, 'StartingToken': token, **({'PageSize': size} if size else {})}
        bit = paginator.paginate(**arguments, PaginationConfig=config).build_full_result()
        bits += entries(bit, keys=first)
        token = bit.get('NextToken')
        if token is None:
            break
    same(what + ' in bits', bits, entries(*pages, keys=first))


def one_page(service, operation, want, of, **arguments):
    """Reads a listing that never has a second page."""
    paginator = client(service).get_paginator(botocore.xform_name(operation))
    pages = list(paginator.paginate(**arguments))
    same(f'{service} {operation}', [[of(e) for e in paginator.result_keys[0].search(p)] for p in pages], [want])
    walked.add((service, operation))


def by(*members):
    return lambda e: ' '.join(str(e[m]) for m in members)


def wait(service, waiter, fails=False, **arguments):
    """Awaits something that is, or will be, so; or that can never be so again."""
    c = client(service)
    try:
        c.get_waiter(botocore.xform_name(waiter)).wait(**arguments, WaiterConfig={'Delay': 0.1, 'MaxAttempts': 600})
    except botocore.exceptions.WaiterError as e:
        if not fails or 'Max attempts exceeded' in str(e):
            sys.exit(f'{service} {waiter}: {e}: {e.last_response}')
        return
    if fails:
        sys.exit(f'{service} {waiter}: it did not give up')
    awaited.add((service, waiter))


def s3():
    c = client('s3')
    buckets = ['pages-' + name(n) for n in range(7)]
    wait('s3', 'BucketNotExists', Bucket=buckets[0])
    for b in buckets:
        c.create_bucket(Bucket=b)
    wait('s3', 'BucketExists', Bucket=buckets[0])
    walk('s3', 'ListBuckets', buckets, by('Name'))
    at = {'Bucket': buckets[0]}
    wait('s3', 'ObjectNotExists', **at, Key='a/n000')
    # Names whose order by bytes is not the one by characters' looks.
    keys = sorted([f'a/{name(n)}' for n in range(7)] + ['B', 'a b+%', 'ä', 'z/1/2', 'z/1/3', 'a/ü/1'], key=lambda k: k.encode())
    for k in keys:
        c.put_object(**at, Key=k, Body=k.encode())
    wait('s3', 'ObjectExists', **at, Key='a/n000')
    for operation in ('ListObjects', 'ListObjectsV2'):
        walk('s3', operation, keys, by('Key'), **at)
        walk('s3', operation, ['B', 'a b+%', 'ä', 'a/', 'z/'], lambda e: e.get('Key') or e['Prefix'], size=1, order=False, Delimiter='/', **at)
    c.put_bucket_versioning(**at, VersioningConfiguration={'Status': 'Enabled'})
    versions = {k: ['null'] for k in keys}
    for k in keys[:4] * 2:
        versions[k].insert(0, c.put_object(**at, Key=k, Body=b'new')['VersionId'])
    gone = c.delete_object(**at, Key=keys[1])['VersionId']
    want = [f'{k} {v}' for k in keys for v in versions[k]]
    walk('s3', 'ListObjectVersions', want + [f'{keys[1]} {gone}'], by('Key', 'VersionId'), order=False, **at)
    uploads = []
    for k in sorted(['u/' + name(n % 4) for n in range(7)]):  # of a key, the older one comes first
        uploads.append(f"{k} {c.create_multipart_upload(**at, Key=k)['UploadId']}")
    walk('s3', 'ListMultipartUploads', uploads, by('Key', 'UploadId'), **at)
    upload = dict(at, Key=uploads[0].split(' ')[0], UploadId=uploads[0].split(' ')[1])
    for n in range(7, 0, -1):
        c.upload_part(**upload, PartNumber=n, Body=b'part')
    walk('s3', 'ListParts', [str(n) for n in range(1, 8)], by('PartNumber'), **upload)


def iam():
    c = client('iam')
    trust = json.dumps({'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': 'sts:AssumeRole',
                       'Principal': {'Service': ['lambda.amazonaws.com', 'states.amazonaws.com', 'sagemaker.amazonaws.com']}}]})
    roles = [name(n) for n in range(7)]
    for r in reversed(roles):
        c.create_role(RoleName=r, AssumeRolePolicyDocument=trust, Path='/pages/')
    wait('iam', 'RoleExists', RoleName=roles[0])
    everything = json.dumps({'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Action': '*', 'Resource': '*'}]})
    for n in range(7):
        c.put_role_policy(RoleName=roles[0], PolicyName=name(n), PolicyDocument=everything)
        c.tag_role(RoleName=roles[0], Tags=[{'Key': name(n), 'Value': 'v'}])
    managed = [f'arn:aws:iam::aws:policy/{p}' for p in ('AWSCloudFormationReadOnlyAccess', 'AdministratorAccess', 'ReadOnlyAccess', 'service-role/AWSLambdaBasicExecutionRole')]
    for p in managed:
        c.attach_role_policy(RoleName=roles[0], PolicyArn=p)
    walk('iam', 'ListRoles', roles, by('RoleName'), PathPrefix='/pages/')
    walk('iam', 'ListRolePolicies', roles, str, RoleName=roles[0])
    walk('iam', 'ListRoleTags', roles, by('Key'), RoleName=roles[0])
    walk('iam', 'ListAttachedRolePolicies', managed, by('PolicyArn'), order=False, size=2, RoleName=roles[0])
    return arn('iam', 'role/pages/n000').replace(REGION, '')


def queues_and_topics():
    c, topics = client('sqs'), client('sns')
    urls = [c.create_queue(QueueName=name(n))['QueueUrl'] for n in range(7)]
    walk('sqs', 'ListQueues', urls, str, order=False, QueueNamePrefix='n')
    for url in urls[1:]:
        c.set_queue_attributes(QueueUrl=url, Attributes={'RedrivePolicy': json.dumps({'deadLetterTargetArn': arn('sqs', name(0)), 'maxReceiveCount': 3})})
    walk('sqs', 'ListDeadLetterSourceQueues', urls[1:], str, order=False, QueueUrl=urls[0])
    made = [topics.create_topic(Name=name(n))['TopicArn'] for n in range(101)]
    walk('sns', 'ListTopics', made, by('TopicArn'), size=None, order=False)
    subscriptions = [topics.subscribe(TopicArn=made[0], Protocol='sqs', Endpoint=arn('sqs', name(n)), ReturnSubscriptionArn=True)['SubscriptionArn'] for n in range(101)]
    walk('sns', 'ListSubscriptionsByTopic', subscriptions, by('SubscriptionArn'), size=None, order=False, TopicArn=made[0])
    walk('sns', 'ListSubscriptions', subscriptions, by('SubscriptionArn'), size=None, order=False)


def events():
    c = client('events')
    rules = [name(n) for n in range(7)]
    for r in reversed(rules):
        c.put_rule(Name=r, EventPattern='{"source":["pages"]}')
        c.put_targets(Rule=r, Targets=[{'Id': 'q', 'Arn': arn('sqs', name(0))}])
    for n in range(1, 5):
        c.put_targets(Rule=rules[0], Targets=[{'Id': name(n), 'Arn': arn('sqs', name(n))}])
    walk('events', 'ListRules', rules, by('Name'))
    walk('events', 'ListRuleNamesByTarget', rules, str, TargetArn=arn('sqs', name(0)))
    walk('events', 'ListTargetsByRule', ['q'] + [name(n) for n in range(1, 5)], by('Id'), order=False, Rule=rules[0])
    for n in range(7):
        c.create_event_bus(Name=name(n))
    by_hand('events', 'ListEventBuses', 'EventBuses', sorted(['default'] + rules), by('Name'), limit='Limit', token='NextToken')


def by_hand(service, operation, result, want, of, limit, token, **arguments):
    """Reads a listing that boto3 has no paginator for."""
    got, more = [], {}
    for _ in range(len(want) + 1):
        page = getattr(client(service), botocore.xform_name(operation))(**arguments, **{limit: 3}, **more)
        got += [of(e) for e in page[result]]
        if not page.get(token):
            break
        more = {token: page[token]}
    same(f'{service} {operation}', got, want)


def logs():
    c = client('logs')
    groups = ['/pages/' + name(n) for n in range(7)]
    for g in reversed(groups):
        c.create_log_group(logGroupName=g)
    walk('logs', 'DescribeLogGroups', groups, by('logGroupName'), logGroupNamePrefix='/pages/')
    streams, now = [name(n) for n in range(7)], int(time.time() * 1000)
    for n, s in enumerate(streams):
        c.create_log_stream(logGroupName=groups[0], logStreamName=s)
        c.put_log_events(logGroupName=groups[0], logStreamName=s, logEvents=[{'timestamp': now - 1000 * m - n, 'message': f'{m} {s}'} for m in (2, 1)])
    walk('logs', 'DescribeLogStreams', streams, by('logStreamName'), logGroupName=groups[0])
    walk('logs', 'DescribeLogStreams', streams, by('logStreamName'), logGroupName=groups[0], orderBy='LastEventTime', descending=True)
    messages = [f'{m} {s}' for m in (2, 1) for s in reversed(streams)]
    walk('logs', 'FilterLogEvents', messages, lambda e: e['message'] if 'message' in e else None, logGroupName=groups[0])
    c.put_log_events(logGroupName=groups[1], logStreamName=c.create_log_stream(logGroupName=groups[1], logStreamName='s') and 's',
                     logEvents=[{'timestamp': now + n, 'message': name(n)} for n in range(7)])
    got, token = [], None
    while True:  # the end is told by the same token once more
        page = c.get_log_events(logGroupName=groups[1], logStreamName='s', startFromHead=True, limit=3, **({'nextToken': token} if token else {}))
        got += [e['message'] for e in page['events']]
        if page['nextForwardToken'] == token:
            break
        token = page['nextForwardToken']
    same('logs GetLogEvents', got, streams)


def ssm_and_ecr():
    c, r = client('ssm'), client('ecr')
    parameters = ['/pages/' + name(n) for n in range(7)]
    for p in parameters:
        c.put_parameter(Name=p, Value='v', Type='String')
    walk('ssm', 'DescribeParameters', parameters, by('Name'), order=False)
    repositories = [name(n) for n in range(7)]
    for p in reversed(repositories):
        r.create_repository(repositoryName=p)
    walk('ecr', 'DescribeRepositories', repositories, by('repositoryName'))
    for operation in ('ListImages', 'DescribeImages'):  # no image comes here
        one_page('ecr', operation, [], str, repositoryName='n000')


def functions(role):
    c, code = client('lambda'), io.BytesIO()
    with zipfile.ZipFile(code, 'w') as z:
        entry = zipfile.ZipInfo('bootstrap')
        entry.external_attr = 0o755 << 16
        z.writestr(entry, '#!/bin/sh\nexit 1\n')
    wanted = [name(n) for n in range(7)]
    for n in reversed(wanted):
        c.create_function(FunctionName=n, Runtime='provided.al2023', Handler='bootstrap', Role=role, Code={'ZipFile': code.getvalue()})
    walk('lambda', 'ListFunctions', wanted, by('FunctionName'))
    for waiter in ('FunctionExists', 'FunctionActive', 'FunctionActiveV2', 'PublishedVersionActive'):
        wait('lambda', waiter, FunctionName=wanted[0])
    c.update_function_configuration(FunctionName=wanted[0], MemorySize=256)
    wait('lambda', 'FunctionUpdated', FunctionName=wanted[0])
    c.update_function_code(FunctionName=wanted[0], ZipFile=code.getvalue())
    wait('lambda', 'FunctionUpdatedV2', FunctionName=wanted[0])


def states(role):
    c = client('states')
    definition = json.dumps({'StartAt': 'P0', 'States': {f'P{n}': {'Type': 'Pass', **({'Next': f'P{n + 1}'} if n < 4 else {'End': True})} for n in range(5)}})
    machines = [c.create_state_machine(name=name(n), definition=definition, roleArn=role)['stateMachineArn'] for n in range(7)]
    walk('states', 'ListStateMachines', machines, by('stateMachineArn'), order=False)
    executions = []
    for n in range(7):
        executions.insert(0, c.start_execution(stateMachineArn=machines[0], name=name(n))['executionArn'])
        while c.describe_execution(executionArn=executions[0])['status'] == 'RUNNING':
            pass
    walk('states', 'ListExecutions', executions, by('executionArn'), stateMachineArn=machines[0])
    walk('states', 'ListExecutions', executions, by('executionArn'), stateMachineArn=machines[0], statusFilter='SUCCEEDED')
    whole = list(range(1, 13))  # an event at each end, two for each state
    walk('states', 'GetExecutionHistory', whole, lambda e: e['id'], executionArn=executions[0])
    walk('states', 'GetExecutionHistory', whole[::-1], lambda e: e['id'], executionArn=executions[0], reverseOrder=True)
    versions, aliases = [], []
    for n in range(7):
        c.update_state_machine(stateMachineArn=machines[0], definition=definition.replace('"P0"', f'"Q{n}"'))
        versions.insert(0, c.publish_state_machine_version(stateMachineArn=machines[0])['stateMachineVersionArn'])
        aliases.append(c.create_state_machine_alias(name=name(n), routingConfiguration=[{'stateMachineVersionArn': versions[0], 'weight': 100}])['stateMachineAliasArn'])
    for what, want in (('Version', versions), ('Alias', aliases)):
        by_hand('states', f'ListStateMachine{what}{"es" if what == "Alias" else "s"}', f'stateMachine{what}{"es" if what == "Alias" else "s"}', want,
                by(f'stateMachine{what}Arn'), limit='maxResults', token='nextToken', stateMachineArn=machines[0])


def sagemaker(role):
    c, wanted = client('sagemaker'), [name(n) for n in range(7)]
    machine, ends, out = {'InstanceType': 'ml.m5.large', 'InstanceCount': 1}, {'MaxRuntimeInSeconds': 600}, 's3://pages-n000/'
    for n in range(7):
        do = {0: 'sleep', 1: 'fail'}
        c.create_training_job(TrainingJobName=name(n), RoleArn=role, AlgorithmSpecification={'TrainingImage': 'program', 'TrainingInputMode': 'File', 'ContainerArguments': [do.get(n, 'train')]},
                              OutputDataConfig={'S3OutputPath': out + 'models'}, ResourceConfig={**machine, 'VolumeSizeInGB': 10}, StoppingCondition=ends, Tags=[{'Key': name(m), 'Value': 'v'} for m in range(7)])
        c.create_processing_job(ProcessingJobName=name(n), RoleArn=role, AppSpecification={'ImageUri': 'program', 'ContainerArguments': [do.get(n, 'nothing')]},
                                ProcessingResources={'ClusterConfig': {**machine, 'VolumeSizeInGB': 10}})
        c.create_model(ModelName=name(n), ExecutionRoleArn=role, PrimaryContainer={'Image': 'program'})
        c.create_transform_job(TransformJobName=name(n), ModelName=name(n), TransformInput={'DataSource': {'S3DataSource': {'S3DataType': 'S3Prefix', 'S3Uri': out + ('none' if n == 1 else 'B')}}},
                               TransformOutput={'S3OutputPath': out + 'scores'}, TransformResources=machine)
        c.create_model_package_group(ModelPackageGroupName=name(n))
        c.create_model_package(ModelPackageGroupName='n000', InferenceSpecification={'Containers': [{'Image': 'program'}], 'SupportedContentTypes': ['text/csv'], 'SupportedResponseMIMETypes': ['text/csv']})
    for kind in ('Training', 'Processing', 'Transform'):
        for n in range(7):
            of = {f'{kind}JobName': name(n)}
            if n == 0 and kind != 'Transform':
                getattr(c, f'stop_{kind.lower()}_job')(**of)
            wait('sagemaker', f'{kind}JobCompletedOrStopped', fails=n == 1, **of)
        same(f'statuses of {kind} jobs', [getattr(c, f'describe_{kind.lower()}_job')(**{f'{kind}JobName': name(n)})[f'{kind}JobStatus'] for n in range(3)],
             ['Completed' if kind == 'Transform' else 'Stopped', 'Failed', 'Completed'])
        for order in ('Ascending', 'Descending'):
            for key in ('Name', 'CreationTime'):
                walk('sagemaker', f'List{kind}Jobs', wanted if order == 'Ascending' else wanted[::-1], by(f'{kind}JobName'), SortBy=key, SortOrder=order)
        walk('sagemaker', f'List{kind}Jobs', wanted[2:], by(f'{kind}JobName'), SortBy='Name', SortOrder='Ascending', StatusEquals='Completed', NameContains='N') if kind != 'Transform' else None
    for operation, key, member in (('ListModels', 'Name', 'ModelName'), ('ListModelPackageGroups', 'Name', 'ModelPackageGroupName')):
        walk('sagemaker', operation, wanted, by(member), SortBy=key, SortOrder='Ascending')
        walk('sagemaker', operation, wanted[::-1], by(member), SortBy='CreationTime', SortOrder='Descending')
    walk('sagemaker', 'ListModelPackages', list(range(7, 0, -1)), lambda e: e['ModelPackageVersion'], ModelPackageGroupName='n000', SortBy='CreationTime', SortOrder='Descending')
    one_page('sagemaker', 'ListTags', wanted, by('Key'), ResourceArn=arn('sagemaker', 'training-job/n000'))  # pages are no shorter than what a job may have


def stacks():
    c = client('cloudformation')

    def template(resources, **rest):
        return json.dumps({'Resources': {f'R{n:03d}': {'Type': 'AWS::SSM::Parameter', 'Properties': {'Type': 'String', 'Value': 'v'}} for n in range(resources)}, **rest})

    wide = template(103, Outputs={f'O{n:03d}': {'Value': name(n), 'Export': {'Name': name(n)}} for n in range(103)})
    c.create_stack(StackName='wide', TemplateBody=wide)
    wait('cloudformation', 'StackExists', StackName='wide')
    wait('cloudformation', 'StackCreateComplete', StackName='wide')
    ids = [f'R{n:03d}' for n in range(103)]
    walk('cloudformation', 'ListStackResources', ids, by('LogicalResourceId'), size=None, order=False, StackName='wide')
    events = [(r, s) for r in ids for s in ('CREATE_IN_PROGRESS', 'CREATE_IN_PROGRESS', 'CREATE_COMPLETE')] + [('wide', 'CREATE_IN_PROGRESS'), ('wide', 'CREATE_COMPLETE')]  # AWS begins each resource twice
    walk('cloudformation', 'DescribeStackEvents', events, lambda e: (e['LogicalResourceId'], e['ResourceStatus']), size=None, order=False, StackName='wide')
    walk('cloudformation', 'ListExports', [name(n) for n in range(103)], by('Name'), size=None, order=False)
    importer = template(1, Outputs={'O': {'Value': {'Fn::ImportValue': name(0)}}})
    importers = [f'importer-{n:03d}' for n in range(101)]
    for s in importers:
        c.create_stack(StackName=s, TemplateBody=importer)
    for s in importers:
        wait('cloudformation', 'StackCreateComplete', StackName=s)
    walk('cloudformation', 'ListImports', importers, str, size=None, order=False, ExportName=name(0))
    walk('cloudformation', 'DescribeStacks', importers[::-1] + ['wide'], by('StackName'), size=None)
    walk('cloudformation', 'ListStacks', importers[::-1] + ['wide'], by('StackName'), size=None)
    c.update_stack(StackName=importers[0], TemplateBody=template(2))
    wait('cloudformation', 'StackUpdateComplete', StackName=importers[0])
    change = {'StackName': importers[0], 'ChangeSetName': 'more'}
    c.create_change_set(**change, TemplateBody=template(105))
    wait('cloudformation', 'ChangeSetCreateComplete', **change)
    walk('cloudformation', 'DescribeChangeSet', [f'R{n:03d}' for n in range(2, 105)], lambda e: e['ResourceChange']['LogicalResourceId'], size=None, order=False, **change)
    for n in range(101):
        c.create_change_set(StackName=importers[0], ChangeSetName='more-' + name(n), TemplateBody=template(3))
    walk('cloudformation', 'ListChangeSets', ['more'] + ['more-' + name(n) for n in range(101)], by('ChangeSetName'), size=None, order=False, StackName=importers[0])
    c.create_change_set(StackName=importers[1], ChangeSetName='none', TemplateBody=importer)
    wait('cloudformation', 'ChangeSetCreateComplete', fails=True, StackName=importers[1], ChangeSetName='none')
    breaks = json.dumps({'Resources': {'T': {'Type': 'AWS::SNS::Subscription', 'Properties': {'Protocol': 'sqs', 'Endpoint': 'x', 'TopicArn': arn('sns', 'nowhere')}}}})
    c.create_stack(StackName='breaks', TemplateBody=breaks)
    wait('cloudformation', 'StackCreateComplete', fails=True, StackName='breaks')
    c.update_stack(StackName=importers[1], TemplateBody=breaks)
    wait('cloudformation', 'StackUpdateComplete', fails=True, StackName=importers[1])
    wait('cloudformation', 'StackRollbackComplete', StackName=importers[1])
    c.delete_stack(StackName=importers[2])
    wait('cloudformation', 'StackDeleteComplete', StackName=importers[2])


LEFT_OUT = {('cloudformation', 'StackImportComplete')}  # change sets that import are refused


def main(supported):
    session, operations, service = boto3.session.Session()._session, set(), None
    for line in pathlib.Path(supported).read_text().splitlines():
        if line.startswith('## '):
            service = line[3:]
        elif line.startswith('- ') and ' ' not in service:
            operations.add((service, line[2:]))
    s3()
    role = iam()
    queues_and_topics()
    events()
    logs()
    ssm_and_ecr()
    functions(role)
    states(role)
    sagemaker(role)
    stacks()
    missing = set()
    for service in {s for s, _ in operations}:
        c = client(service)
        known = c.meta.service_model.operation_names  # a form's upload is none
        missing |= {(s, o) for s, o in operations if s == service and o in known and c.can_paginate(botocore.xform_name(o))} - walked
        if c.waiter_names:
            model = session.get_waiter_model(SERVICES.get(service, service))
            missing |= {(service, w) for w in model.waiter_names if (service, model.get_waiter(w).operation) in operations} - awaited - LEFT_OUT
    if missing:
        sys.exit(f'left out: {sorted(missing)}')
    print(f'{len(walked)} paginators walked through, {len(awaited)} waiters awaited')


if __name__ == '__main__':
    main(sys.argv[1])
