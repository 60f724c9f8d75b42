"""Breaks every constraint that botocore's models put on the inputs of the supported operations, one at a time, and fails
unless each such request is refused by the service's own error, which names the member.

    refused.py docs/supported-operations.md   with the cloud's endpoint and credentials in the environment
"""
import datetime
import pathlib
import re
import sys

import boto3
import botocore.config
import botocore.exceptions

CODES = {
    'cloudformation': {'ValidationError'}, 'iam': {'ValidationError'}, 'sts': {'ValidationError'}, 'sns': {'ValidationError'},
    'logs': {'InvalidParameterException'}, 'ecr': {'InvalidParameterException'}, 'sqs': {'MissingParameter', 'InvalidParameterValue'},
}
# Shapes of which the service has words of its own, after it looked for what the request is about.
OWN = {
    'Runtime': {'InvalidParameterValueException'}, 'QueueAttributeName': {'InvalidAttributeName', 'AWS.SimpleQueueService.NonExistentQueue'},
    'MessageSystemAttributeName': {'InvalidAttributeName', 'AWS.SimpleQueueService.NonExistentQueue'}, 'MessageSystemAttributeNameForSends': {'InvalidParameterValue'},
}
SAMPLES = ['a', 'aa', 'abc', '1', 'a' * 20, 'a' * 100, '/', 'arn:aws:iam::000000000000:role/r', 'arn:aws:sagemaker:us-east-1:000000000000:model-package/a/1', '000000000000',
           'arn:aws:sagemaker:us-east-1:000000000000:training-job/a', 'arn:aws:lambda:us-east-1:000000000000:function:f', 's3://bucket/key', 'https://bucket/key', 'ml.m5.xlarge',
           'lambda:InvokeFunction', 'arn:aws:events:us-east-1:000000000000:rule/a', 'bootstrap', '1.0', 'subnet-0', 'sg-0', '$.a', 'text/csv', 'a:b', '2026-03-01T10:00:00Z',
           'arn:aws:sagemaker:us-east-1:000000000000:model-package-group/a', 'arn:aws:kms:us-east-1:000000000000:key/0', 'arn:aws:logs:us-east-1:000000000000:log-group:g',
           'arn:aws:secretsmanager:us-east-1:000000000000:secret:s', 'arn:aws:lambda:us-east-1:000000000000:layer:l:1', 'arn:aws:sns:us-east-1:000000000000:t',
           'arn:aws:elasticfilesystem:us-east-1:000000000000:access-point/fsap-0123456789abcdef0', 'arn:aws:lambda:us-east-1:000000000000:code-signing-config:csc-0123456789abcdefg',
           'arn:aws:sagemaker:us-east-1:000000000000:app/d-0/u/JupyterServer/a', '/mnt/a', 'https://sqs.us-east-1.amazonaws.com/000000000000/q', 'UNSIGNED']
WRONG = ['!', ' ', '\u00e9\u0007', '*|*', 'a b', 'no/such:value', '/', '!!!' * 3, '\n']


def compiled(pattern):
    """A pattern of AWS's, for Python; None where Python has no such classes."""
    pattern = re.sub(r'\$\{\d+,\d*\}$', '$', pattern).replace(r'\w-', r'\w\-').replace(r'\p{Alnum}', '0-9A-Za-z').replace(r'\uD800\uDC00-\uDBFF\uDFFF', r'\U00010000-\U0010FFFF')
    return None if r'\p{' in pattern else re.compile(pattern)


def sample(shape, depth=0):
    """A right value of a shape; None where there is none at hand."""
    kind, limits = shape.type_name, shape.metadata
    if kind == 'structure':
        out = {}
        for name in shape.required_members:
            out[name] = sample(shape.members[name], depth + 1)
            if out[name] is None:
                return None
        return out
    if kind in ('list', 'map'):
        item = sample(shape.member if kind == 'list' else shape.value, depth + 1)
        if kind == 'map':
            key = sample(shape.key, depth + 1)
            return None if item is None or key is None else {key: item}
        return None if item is None else [item] * max(1, limits.get('min') or 1)
    if kind == 'string':
        if shape.enum:
            return shape.enum[0]
        re_ = compiled(limits['pattern']) if limits.get('pattern') else re.compile('.*')
        fit = (s for s in SAMPLES if (limits.get('min') or 0) <= len(s) <= (limits.get('max') or 10**9) and (re_ is None or re_.fullmatch(s)))
        return next(fit, None)
    return {'integer': limits.get('min') or 1, 'long': limits.get('min') or 1, 'float': limits.get('min') or 1.0, 'double': limits.get('min') or 1.0, 'boolean': True, 'blob': b'x',
            'timestamp': datetime.datetime(2026, 3, 1)}[kind]


def breaks(shape):
    """Values that break one constraint of a shape each, with the words for it."""
    kind, limits = shape.type_name, shape.metadata
    least, most = limits.get('min'), limits.get('max')
    if kind == 'string':
        if shape.enum:
            yield 'enum', 'no-such-value'
        if least and not shape.enum:
            yield 'short', ''
        if most and most < 10000 and not shape.enum:
            yield 'long', 'a' * (int(most) + 1)
        re_ = compiled(limits['pattern']) if limits.get('pattern') else None
        wrong = next((w for w in WRONG if re_ and not re_.fullmatch(w) and len(w) >= (least or 0)), None)
        if wrong is not None:
            yield 'pattern', wrong
    elif kind in ('integer', 'long', 'float', 'double'):
        if least is not None:
            yield 'small', least - 1
        if most is not None and most < 2**31 - 1:
            yield 'large', most + 1
        if kind in ('integer', 'long'):
            yield 'type', 'not-a-number'
    elif kind == 'list':
        if least:
            yield 'few', []
        item = sample(shape.member)
        if most and most <= 300 and item not in (None, {}):
            yield 'many', [item] * (int(most) + 1)


def broken(shape, path, seen):
    """Right structures but for one thing, and where it is: (path, what, value)."""
    base = sample(shape)
    if base is None or shape.name in seen:
        return
    for name, member in shape.members.items():
        at = path + [name]
        inner = member
        if member.serialization.get('location') == 'uri':
            continue  # another path is another operation
        if name in shape.required_members:
            yield at, 'missing', {k: v for k, v in base.items() if k != name}, member
        for what, value in breaks(member):
            yield at, what, {**base, name: value}, member
        wrap = lambda v: v
        while inner.type_name in ('list', 'map'):
            outer, was = inner, wrap
            inner = inner.member if inner.type_name == 'list' else inner.value
            key = sample(outer.key) if outer.type_name == 'map' else None
            least = max(1, outer.metadata.get('min') or 1)
            wrap = (lambda v, was=was, least=least: was([v] * least)) if outer.type_name == 'list' else (lambda v, was=was, key=key: was({key: v}))
            for what, value in breaks(inner):
                yield at, 'item ' + what, {**base, name: wrap(value)}, inner
        if inner.type_name == 'structure' and not inner.metadata.get('document'):
            for deeper, what, value, of in broken(inner, at, seen | {shape.name}):
                yield deeper, what, {**base, name: wrap(value)}, of


def refused(client, service, operation, path, what, request, of):
    """Tells what is wrong with the answer; None when it is right."""
    try:
        getattr(client, botocore.xform_name(operation))(**request)
        return 'was not refused'
    except (botocore.exceptions.InvalidEndpointConfigurationError, botocore.exceptions.MissingDependencyException):  # of an EndpointId
        return None  # the client cannot even send it
    except botocore.exceptions.ClientError as e:
        code, message, status = e.response['Error']['Code'], e.response['Error']['Message'], e.response['ResponseMetadata']['HTTPStatusCode']
    codes = {'SerializationException', 'MalformedInput'} if what.endswith('type') else OWN.get(of.name) or CODES.get(service, {'ValidationException'})
    if status != 400 or code not in codes:
        return f'{status} {code}: {message[:200]}'
    if code not in ('SerializationException', 'MalformedInput') and of.name not in OWN and path[-1].lower() not in message.lower():
        return f'does not name it: {message[:200]}'
    return None


def main(supported):
    tried, wrong, service = 0, [], None
    for line in pathlib.Path(supported).read_text().splitlines():
        if line.startswith('## '):
            service = line[3:]
            if ' ' in service or service == 's3':  # the gateway has words of its own
                service = None
                continue
            client = boto3.client({'states': 'stepfunctions'}.get(service, service), config=botocore.config.Config(
                parameter_validation=False, inject_host_prefix=False, retries={'total_max_attempts': 1}))
        elif line.startswith('- ') and service:
            operation = line[2:]
            shape = client.meta.service_model.operation_model(operation).input_shape
            told = set()
            for path, what, request, of in broken(shape, [], frozenset()):
                name = f'{operation}.{".".join(path)}'
                if (of.name, what) in told and len(path) > 1:
                    continue  # a shape's constraint once an operation is enough, where it lies deep
                told.add((of.name, what))
                tried += 1
                problem = refused(client, service, operation, path, what, request, of)
                if problem:
                    wrong.append(f'{service} {name} {what} ({of.name}): {problem}')
    print(*wrong, sep='\n')
    print(f'{tried} broken requests')
    sys.exit(1 if wrong or tried < 2000 else 0)


if __name__ == '__main__':
    main(sys.argv[1])
