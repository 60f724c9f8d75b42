"""Judges recorded exchanges (JSON lines, see Exchange) by botocore's service models.

    python3 validate.py wire-*.jsonl

Each request is read as a server reads it (the reverse of botocore's serializer), each answer as strictly as a client
could: unknown and missing members, wrong types, lengths, ranges, whole-value patterns, enums, timestamp formats, statuses,
error codes and the protocol's headers. A request that its model does not allow must have been refused. Prints every
violation once, with how often it occurred; ends with 1 when there is one.
"""
import base64
import binascii
import collections
import email.utils
import functools
import json
import re
import sys
import unicodedata
import urllib.parse
import xml.etree.ElementTree as ET

from botocore.loaders import Loader
from botocore.model import ServiceModel

MODELS = {'states': 'stepfunctions'}  # where the signature's name is not the model's

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
    'sqs': {'InvalidParameterValue', 'MissingParameter', 'InvalidAttributeName', 'InvalidAttributeValue', 'InvalidParameterCombination'},
    'sns': {'InvalidParameter', 'NotFound'},
    'iam': set(),
    'sts': set(),
    'ecr': {'InvalidParameterException'},
    'cloudformation': {'ValidationError'},
    's3': set('''AccessDenied AuthorizationHeaderMalformed AuthorizationQueryParametersError BadDigest BadRequest BucketAlreadyExists
BucketAlreadyOwnedByYou BucketNotEmpty EntityTooLarge EntityTooSmall IllegalLocationConstraintException IncompleteBody InternalError
ExpiredToken InvalidAccessKeyId InvalidArgument InvalidBucketName InvalidBucketState InvalidDigest InvalidLocationConstraint InvalidPart InvalidPartNumber InvalidPartOrder InvalidRange
InvalidRequest InvalidStorageClass InvalidTag InvalidURI KeyTooLongError MalformedACLError MalformedPolicy MalformedXML
MetadataTooLarge MethodNotAllowed MissingContentLength NoSuchBucket NoSuchBucketPolicy NoSuchCORSConfiguration NoSuchKey
NoSuchLifecycleConfiguration NoSuchPublicAccessBlockConfiguration NoSuchTagSet NoSuchUpload NoSuchVersion NotImplemented
ObjectLockConfigurationNotFoundError ObjectNotInActiveTierError OperationAborted OwnershipControlsNotFoundError PermanentRedirect
PreconditionFailed ConditionalRequestConflict RequestTimeTooSkewed ServerSideEncryptionConfigurationNotFoundError ServiceUnavailable
SignatureDoesNotMatch SlowDown XAmzContentSHA256Mismatch'''.split()),
}


# Where the models are known to be wrong: the beginning of a fault's line, with the reason.
EXCEPT = {
    'cloudformation CreateChangeSet (top): 200 for a request that the model does not allow: .DeploymentConfig.Mode is no member': 'the CDK CLI knows a newer model',
    'cloudformation DeleteStack (top): 200 for a request that the model does not allow: .DeploymentConfig.Mode is no member': 'the CDK CLI knows a newer model',
    "cloudformation DescribeStackEvents .StackEvents[].ResourceStatus: 'REVIEW_IN_PROGRESS'": "an event of the stack itself has the stack's status",
    "cloudformation DescribeStackEvents .StackEvents[].ResourceStatus: 'UPDATE_COMPLETE_CLEANUP_IN_PROGRESS'": "an event of the stack itself has the stack's status",
    "cloudformation DescribeStackEvents .StackEvents[].ResourceStatus: 'UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS'": "an event of the stack itself has the stack's status",
    'ecr ListImages .imageIds: 0 is under 1': 'the limit is for requests, which share the shape; a repository without images has none to list',
    'sqs SendMessageBatch .Failed: is required and missing': 'AWS leaves out an empty list (as recorded)',
    'sqs DeleteMessageBatch .Failed: is required and missing': 'AWS leaves out an empty list (as recorded)',
    'sqs ChangeMessageVisibilityBatch .Failed: is required and missing': 'AWS leaves out an empty list (as recorded)',
    'sqs SendMessageBatch .Successful: is required and missing': 'AWS leaves out an empty list (as recorded)',
    'sqs DeleteMessageBatch .Successful: is required and missing': 'AWS leaves out an empty list (as recorded)',
    'sqs ChangeMessageVisibilityBatch .Successful: is required and missing': 'AWS leaves out an empty list (as recorded)',
}


class Faults:
    """What is wrong with one side of an exchange."""

    def __init__(self):
        self.found = []

    def add(self, path, text):
        self.found.append((re.sub(r'\[\d+\]', '[]', path) or '(top)', text))


@functools.cache
def model(service):
    return ServiceModel(Loader().load_service_model(MODELS.get(service, service), 'service-2'), service)


# --- constraints of a value that is read already ---

def check(shape, value, path, faults):
    """Holds a Python value against its shape's constraints."""
    if value is None or shape.serialization.get('jsonvalue') or shape.metadata.get('document'):
        return
    limits = shape.metadata
    if shape.type_name == 'structure':
        for name in shape.required_members:
            if name not in value:  # None is what could not be read, which was told
                faults.add(f'{path}.{name}', 'is required and missing')
        if shape.is_tagged_union and len(value) != 1:
            faults.add(path, f'is a union with {len(value)} members')
        for name, member in value.items():
            check(shape.members[name], member, f'{path}.{name}', faults)
        return
    if shape.type_name == 'list':
        for i, item in enumerate(value):
            check(shape.member, item, f'{path}[{i}]', faults)
    elif shape.type_name == 'map':
        for key, item in value.items():
            check(shape.key, key, f'{path}(key)', faults)
            check(shape.value, item, f'{path}{{}}', faults)
    elif shape.type_name == 'string':
        if shape.enum and value not in shape.enum:
            faults.add(path, f'{value[:80]!r} is none of {", ".join(shape.enum)[:200]}')
        if limits.get('pattern') and not pattern(limits['pattern']).fullmatch(value):
            faults.add(path, f'{value[:200]!r} does not match {limits["pattern"]}')
    size = len(value) if isinstance(value, (str, bytes, list, dict)) else value
    if isinstance(size, bool):
        return
    if limits.get('min') is not None and size < limits['min']:
        faults.add(path, f'{size} is under {limits["min"]}')
    if limits.get('max') is not None and size > limits['max']:
        faults.add(path, f'{size} is over {limits["max"]}')


@functools.cache
def category(letter):
    """The characters of a Unicode category, for a class of Python's re."""
    spans, start = [], None
    for c in range(sys.maxunicode + 2):
        inside = c <= sys.maxunicode and unicodedata.category(chr(c)).startswith(letter)
        if inside and start is None:
            start = c
        elif not inside and start is not None:
            spans.append(f'\\U{start:08x}-\\U{c - 1:08x}')
            start = None
    return ''.join(spans)


@functools.cache
def pattern(text):
    """A pattern of AWS's (Java's syntax), compiled for Python."""
    text = text.replace(r'\uD800\uDC00-\uDBFF\uDFFF', r'\U00010000-\U0010FFFF')
    text = re.sub(r'\$\{\d+,\d*\}$', '$', text)  # Java lets an anchor repeat
    text = text.replace(r'\w-', r'\w\-')
    named = {'Alnum': '0-9A-Za-z', 'Alpha': 'A-Za-z', 'Graph': '!-~', 'Print': ' -~', 'ASCII': r'\x00-\x7f', 'Punct': r'!-/:-@\[-`{-~', 'Space': r'\s'}
    out, inside, i = [], False, 0
    while i < len(text):
        p = re.compile(r'\\p\{(?:Is)?(\w+)\}').match(text, i)
        if p:
            chars = named.get(p[1]) or category(p[1])
            out.append(chars if inside else f'[{chars}]')
            i = p.end()
            continue
        step = 2 if text[i] == '\\' else 1
        if text[i] == '[' and not inside:
            inside = True
        elif text[i] == ']' and inside:
            inside = False
        out.append(text[i:i + step])
        i += step
    return re.compile(''.join(out))


# --- scalars as text: query members, headers, XML ---

ISO8601 = re.compile(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z')


def scalar(shape, text, path, faults, timestamps):
    kind = shape.type_name
    if kind in ('integer', 'long'):
        if re.fullmatch(r'-?\d+', text):
            return int(text)
    elif kind in ('float', 'double'):
        try:
            return float(text)
        except ValueError:
            pass
    elif kind == 'boolean':
        if text.lower() in ('true', 'false'):
            return text.lower() == 'true'
    elif kind == 'timestamp':
        form = shape.serialization.get('timestampFormat', timestamps)
        if form == 'iso8601' and ISO8601.fullmatch(text) or form == 'rfc822' and email.utils.parsedate(text) and text.endswith('GMT') \
                or form == 'unixTimestamp' and re.fullmatch(r'\d+(\.\d+)?', text):
            return text
        faults.add(path, f'{text!r} is no timestamp in {form}')
        return None
    elif kind == 'blob':
        return unbase64(text, path, faults)
    elif kind == 'string':
        return text
    elif kind == 'list':  # in a header
        return [scalar(shape.member, t.strip(), path, faults, timestamps) for t in text.split(',')]
    faults.add(path, f'{text[:80]!r} is no {kind}')
    return None


def unbase64(text, path, faults):
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        faults.add(path, f'{text[:80]!r} is no base64')
        return None


# --- JSON ---

JSON_TYPES = {'string': str, 'boolean': bool, 'integer': int, 'long': int, 'float': (int, float), 'double': (int, float), 'structure': dict, 'map': dict, 'list': list}


def from_json(shape, value, path, faults):
    kind = shape.type_name
    if shape.metadata.get('document') or shape.serialization.get('jsonvalue'):
        return value
    if kind == 'timestamp':
        form = shape.serialization.get('timestampFormat', 'unixTimestamp')
        if form == 'unixTimestamp' and isinstance(value, (int, float)) or form == 'iso8601' and isinstance(value, str) and ISO8601.fullmatch(value):
            return value
        faults.add(path, f'{value!r} is no timestamp in {form}')
        return None
    if kind == 'blob':
        return unbase64(value, path, faults) if isinstance(value, str) else faults.add(path, 'is no base64')
    if kind in ('float', 'double') and value in ('NaN', 'Infinity', '-Infinity'):
        return float(value)
    if not isinstance(value, JSON_TYPES[kind]) or isinstance(value, bool) and kind != 'boolean':
        faults.add(path, f'{str(value)[:80]!r} is no {kind}')
        return None
    if kind == 'list':
        return [from_json(shape.member, v, f'{path}[{i}]', faults) for i, v in enumerate(value)]
    if kind == 'map':
        return {k: from_json(shape.value, v, f'{path}{{}}', faults) for k, v in value.items()}
    if kind == 'structure':
        names = {m.serialization.get('name', n): n for n, m in shape.members.items()}
        out = {}
        for key, v in value.items():
            if key == '__type':
                continue
            if key not in names:
                faults.add(f'{path}.{key}', 'is no member')
            elif v is not None:
                out[names[key]] = from_json(shape.members[names[key]], v, f'{path}.{key}', faults)
        return out
    return value


def json_body(body, faults):
    try:
        value = json.loads(body or b'{}')
    except ValueError as e:
        faults.add('', f'is no JSON: {e}')
        return None
    if not isinstance(value, dict):
        faults.add('', 'is no JSON object')
        return None
    return value


# --- query ---

def from_form(shape, form, prefix, path, faults, used):
    kind = shape.type_name
    if kind == 'structure':
        out = {}
        for name, member in shape.members.items():
            key = member.serialization.get('name', name)
            key = f'{prefix}.{key}' if prefix else key
            if any(k == key or k.startswith(key + '.') for k in form):
                out[name] = from_form(member, form, key, f'{path}.{name}', faults, used)
        return out
    if kind in ('list', 'map'):
        if form.get(prefix) == '':  # empty
            used.add(prefix)
        if kind == 'list':
            at = prefix if shape.serialization.get('flattened') else f'{prefix}.{shape.member.serialization.get("name", "member")}'
        else:
            at = prefix if shape.serialization.get('flattened') else f'{prefix}.entry'
        out, n = {}, 1
        while any(k == f'{at}.{n}' or k.startswith(f'{at}.{n}.') for k in form):
            item = f'{at}.{n}'
            if kind == 'map':
                key = f'{item}.{shape.key.serialization.get("name", "key")}'
                used.add(key)
                item = f'{item}.{shape.value.serialization.get("name", "value")}'
                out[form.get(key, '')] = from_form(shape.value, form, item, f'{path}{{}}', faults, used)
            else:
                out[n] = from_form(shape.member, form, item, f'{path}[{n}]', faults, used)
            n += 1
        return out if kind == 'map' else list(out.values())
    used.add(prefix)
    return scalar(shape, form.get(prefix, ''), path, faults, 'iso8601')


# --- XML ---

def local(tag):
    return tag.rsplit('}', 1)[-1]


def from_xml(shape, node, path, faults):
    kind = shape.type_name
    if kind == 'structure':
        return xml_members(shape, node, path, faults)
    if kind == 'list':  # not flattened
        name = shape.member.serialization.get('name', 'member')
        for child in node:
            if local(child.tag) != name:
                faults.add(f'{path}.{local(child.tag)}', f'is no item ({name}) of the list')
        return [from_xml(shape.member, c, f'{path}[{i}]', faults) for i, c in enumerate(node) if local(c.tag) == name]
    if kind == 'map':
        out = {}
        for entry in node:
            parts = {local(c.tag): c for c in entry}
            key, value = parts.get(shape.key.serialization.get('name', 'key')), parts.get(shape.value.serialization.get('name', 'value'))
            if key is None or value is None or len(parts) != 2:
                faults.add(path, f'has an entry of {sorted(parts)}')
                continue
            out[key.text or ''] = from_xml(shape.value, value, f'{path}{{}}', faults)
        return out
    if len(node):
        faults.add(path, f'is a {kind} and has elements')
    return scalar(shape, node.text or '', path, faults, 'iso8601')


def xml_members(shape, node, path, faults):
    out, by_name = {}, {}
    for name, member in shape.members.items():
        s = member.serialization
        if s.get('location'):
            continue
        wire_name = s.get('name', name)
        if member.type_name == 'list' and (s.get('flattened') or member.metadata.get('flattened')):
            wire_name = s.get('name') or member.member.serialization.get('name', name)
        by_name[wire_name] = name
    for attribute, text in node.attrib.items():
        name = next((n for n, m in shape.members.items() if m.serialization.get('xmlAttribute') and m.serialization['name'].endswith(':' + local(attribute))), None)
        if name:
            out[name] = text
        elif not attribute.startswith('xmlns'):
            faults.add(f'{path}@{local(attribute)}', 'is no attribute')
    for child in node:
        tag = local(child.tag)
        if tag not in by_name:
            faults.add(f'{path}.{tag}', 'is no member')
            continue
        name = by_name[tag]
        member = shape.members[name]
        if member.type_name == 'list' and (member.serialization.get('flattened') or member.metadata.get('flattened')):
            out.setdefault(name, []).append(from_xml(member.member, child, f'{path}.{name}[0]', faults))
        elif name in out:
            faults.add(f'{path}.{name}', 'is given twice')
        else:
            out[name] = from_xml(member, child, f'{path}.{name}', faults)
    return out


def parse_xml(body, faults):
    try:
        return ET.fromstring(body)
    except ET.ParseError as e:
        faults.add('', f'is no XML: {e}')
        return None


# --- REST ---

@functools.cache
def routes(service):
    """Of each operation: method, segments of the path, fixed query members, and required query members and headers."""
    out = []
    m = model(service)
    for name in m.operation_names:
        op = m.operation_model(name)
        if op.deprecated:  # S3's older names of the same requests
            continue
        path, _, query = op.http['requestUri'].partition('?')
        members = op.input_shape.members if op.input_shape else {}
        required = op.input_shape.required_members if op.input_shape else []
        need = {(members[n].serialization['location'], members[n].serialization['name'].lower()) for n in required
                if members[n].serialization.get('location') in ('querystring', 'header')}
        fixed = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        out.append((op, path.strip('/').split('/') if path.strip('/') else [], fixed, need))
    return out


def match_path(template, parts):
    out = {}
    for i, t in enumerate(template):
        if t.startswith('{') and t.endswith('+}'):
            return {**out, t[1:-2]: '/'.join(parts[i:])} if len(parts) > i and any(parts[i:]) else None
        if i >= len(parts):
            return None
        if t.startswith('{'):
            if not parts[i]:
                return None
            out[t[1:-1]] = parts[i]
        elif t != parts[i]:
            return None
    return out if len(template) == len(parts) else None


def route(service, e):
    """The operation of a REST request, and the labels of its path."""
    path = e['path'].lstrip('/')
    parts = [urllib.parse.unquote(p) for p in path.split('/')] if path else []
    if parts and not parts[-1] and len(parts) <= 2 or service != 's3' and parts and not parts[-1]:
        parts.pop()
    query = dict(urllib.parse.parse_qsl(e['query'], keep_blank_values=True))
    given = {('querystring', k.lower()) for k in query} | {('header', k) for k in e['headers']}
    best, score = None, -1
    for op, template, fixed, need in routes(service):
        labels = match_path(template, parts)
        if op.http['method'] != e['method'] or labels is None or any(query.get(k) != v for k, v in fixed.items()) or not need <= given:
            continue
        points = 10 * len(fixed) + len(need) + sum(100 for t in template if not t.startswith('{')) + (1000 if query.get('x-id') == op.name else 0)
        if points > score:
            best, score = (op, labels, fixed), points
    return best


def read_rest(service, op, labels, fixed, e, body, faults):
    shape = op.input_shape
    out, known = {}, {k.lower() for k in fixed} | {'x-id'}
    query = collections.defaultdict(list)
    for k, v in urllib.parse.parse_qsl(e['query'], keep_blank_values=True):
        query[k].append(v)
    for name, member in (shape.members if shape else {}).items():
        where, at = member.serialization.get('location'), member.serialization.get('name', name)
        if where == 'uri':
            out[name] = scalar(member, labels[at], f'.{name}', faults, 'iso8601')
        elif where == 'querystring':
            if at in query:
                values = [scalar(member.member if member.type_name == 'list' else member, v, f'.{name}', faults, 'iso8601') for v in query[at]]
                out[name] = values if member.type_name == 'list' else values[0]
                known.add(at.lower())
    for k in query:
        if k.lower() not in known and not k.lower().startswith('x-amz-'):
            faults.add(f'?{k}', 'is no query member')
    if shape:
        known = {h for h in e['headers'] if op.http_checksum and h.startswith('x-amz-checksum-')}  # what SDKs add by themselves
        out |= read_headers(shape, e['headers'], faults, known)
        out |= read_payload(service, shape, body, faults, e['headers'])
    return out


SERVER_HEADERS = set('x-amz-request-id x-amz-id-2 x-amzn-requestid x-amzn-errortype x-amz-bucket-region x-amz-access-point-alias'.split())
CLIENT_HEADERS = set('''x-amz-date x-amz-content-sha256 x-amz-target x-amz-user-agent x-amz-decoded-content-length x-amz-trailer
x-amz-sdk-checksum-algorithm x-amzn-trace-id x-amz-api-version'''.split())


def read_headers(shape, headers, faults, known=frozenset()):
    out, known, prefixes = {}, set(known) | SERVER_HEADERS | CLIENT_HEADERS, []
    for name, member in shape.members.items():
        where, at = member.serialization.get('location'), member.serialization.get('name', name).lower()
        if where == 'header':
            known.add(at)
            if at in headers:
                text = headers[at][0]
                if member.serialization.get('jsonvalue'):
                    continue
                out[name] = scalar(member, text, f'.{name}', faults, 'rfc822')
        elif where == 'headers':
            prefixes.append(at)
            out[name] = {k[len(at):]: v[0] for k, v in headers.items() if k.startswith(at) and k not in known}
            if not out[name]:
                del out[name]
    for k in headers:
        if k.startswith('x-amz') and k not in known and not any(k.startswith(p) for p in prefixes):
            faults.add(f'header {k}', 'is no member')
    return out


def read_payload(service, shape, body, faults, headers):
    payload = shape.serialization.get('payload')
    xml = model(service).metadata['protocol'] == 'rest-xml'
    if payload:
        member = shape.members[payload]
        if member.type_name in ('blob', 'string'):
            return {payload: body if member.type_name == 'blob' else body.decode()} if body else {}
        if not body:
            return {}
        root = parse_xml(body, faults) if xml else json_body(body, faults)
        if root is None:
            return {}
        return {payload: from_xml(member, root, f'.{payload}', faults) if xml else from_json(member, root, f'.{payload}', faults)}
    if not any(not m.serialization.get('location') for m in shape.members.values()):
        return {}
    if xml:
        root = parse_xml(body, faults) if body else None
        return from_xml(shape, root, '', faults) if root is not None else {}
    value = json_body(body, faults)
    return {} if value is None else from_json(shape, value, '', faults)


# --- one exchange ---

def content(b):
    """A body's bytes; None when not all of it was kept."""
    raw = base64.b64decode(b['base64']) if b.get('base64') else b.get('text', '').encode()
    return raw if len(raw) == b['size'] else None


def dechunked(e, body):
    if body is None or not e['headers'].get('x-amz-content-sha256', [''])[0].startswith('STREAMING-'):
        return body
    out = b''
    while body:
        size, _, rest = body.partition(b'\r\n')
        n = int(size.split(b';')[0], 16)
        if n == 0:
            break
        out, body = out + rest[:n], rest[n + 2:]
    return out


def judge(e):
    """The operation's name, and the faults of the request and of the answer; None where no operation was asked for."""
    service, sent, answered = e['service'], Faults(), Faults()
    m = model(service)
    protocol, body = m.metadata['protocol'], dechunked(e, content(e['body']))
    op, value = None, None
    if protocol == 'json':
        prefix, _, name = e['headers'].get('x-amz-target', [''])[0].partition('.')
        if name in m.operation_names:
            op = m.operation_model(name)
            if prefix != m.metadata['targetPrefix']:
                sent.add('', f'target {prefix} is not {m.metadata["targetPrefix"]}')
            raw = json_body(body, sent) if body is not None else None
            if raw is not None and op.input_shape:
                value = from_json(op.input_shape, raw, '', sent)
    elif protocol == 'query':
        form = dict(urllib.parse.parse_qsl((body or b'').decode(), keep_blank_values=True))
        if form.get('Action') in m.operation_names:
            op, used = m.operation_model(form['Action']), {'Action', 'Version'}
            if form.get('Version') != m.api_version:
                sent.add('', f'version {form.get("Version")} is not {m.api_version}')
            value = from_form(op.input_shape, form, '', '', sent, used) if op.input_shape else {}
            for k in form.keys() - used:
                sent.add(f'.{k}', 'is no member')
    else:
        found = route(service, e)
        if found:
            op = found[0]
            value = read_rest(service, *found, e, body or b'', sent)
    if op is None:
        if e['status'] < 400:
            answered.add('', f'{e["status"]} for what is no operation: {e["method"]} {e["path"]}?{e["query"]}')
        return e['method'], sent, answered
    if value is not None and op.input_shape:
        check(op.input_shape, value, '', sent)
    judge_answer(service, op, e, answered)
    if sent.found and e['status'] < 300:
        answered.add('', f'{e["status"]} for a request that the model does not allow: {sent.found[0][0]} {sent.found[0][1]}')
    return op.name, sent, answered


def judge_answer(service, op, e, faults):
    protocol, headers, body = model(service).metadata['protocol'], e['returned_headers'], content(e['answer'])
    if e.get('cut') or body is None:
        return
    want = 'x-amz-request-id' if service == 's3' else 'x-amzn-requestid'
    if len(headers.get(want, [])) != 1 or not headers[want][0]:
        faults.add('', f'has no {want}')
    kind = headers.get('content-type', [''])[0]
    if protocol == 'json' and kind != f'application/x-amz-json-{model(service).metadata["jsonVersion"]}':
        faults.add('', f'content type {kind!r}')
    if protocol == 'query' and not kind.startswith('text/xml'):
        faults.add('', f'content type {kind!r}')
    if e['status'] >= 400:
        return judge_error(service, op, e, body, faults)
    if e['status'] >= 300:
        return
    told = op.output_shape and any(m.serialization.get('location') == 'statusCode' for m in op.output_shape.members.values())
    if protocol.startswith('rest') and service != 's3' and not told and e['status'] != op.http.get('responseCode', 200):
        faults.add('', f'status {e["status"]}, not {op.http.get("responseCode", 200)}')
    shape = op.output_shape
    if shape is None:
        if body.strip() not in (b'', b'{}') and protocol != 'query':
            faults.add('', f'an answer where there is none: {body[:80]!r}')
        return
    if protocol == 'json':
        raw = json_body(body, faults)
        value = None if raw is None else from_json(shape, raw, '', faults)
    elif protocol == 'query':
        value = read_query_answer(service, op, body, faults)
    else:
        payload = shape.serialization.get('payload')
        if protocol == 'rest-json' and body and not payload and kind != 'application/json':
            faults.add('', f'content type {kind!r}')
        if protocol == 'rest-xml' and body and not (payload and shape.members[payload].type_name in ('blob', 'string')) and kind != 'application/xml':
            faults.add('', f'content type {kind!r}')
        value = read_headers(shape, headers, faults)
        if e['method'] != 'HEAD':
            value |= read_payload(service, shape, body, faults, headers)
    if value is not None:
        check(shape, value, '', faults)


def read_query_answer(service, op, body, faults):
    root = parse_xml(body, faults)
    if root is None:
        return None
    if local(root.tag) != op.name + 'Response':
        faults.add('', f'is a {local(root.tag)}')
    meta = root.find('{*}ResponseMetadata/{*}RequestId')
    if meta is None or not meta.text:
        faults.add('', 'has no ResponseMetadata.RequestId')
    wrapper = op.output_shape.serialization.get('resultWrapper')
    node = root.find('{*}' + wrapper) if wrapper else root
    if node is None:
        faults.add('', f'has no {wrapper}')
        return None
    return from_xml(op.output_shape, node, '', faults)


def judge_error(service, op, e, body, faults):
    protocol, headers = model(service).metadata['protocol'], e['returned_headers']
    code, message = '', None
    if e['method'] == 'HEAD' and not body:
        return
    if protocol in ('json', 'rest-json'):
        raw = json_body(body, faults)
        if raw is None:
            return
        code = headers.get('x-amzn-errortype', [''])[0] or raw.get('__type', '')
        code = code.split(':')[0].rsplit('#', 1)[-1]
        if protocol == 'json' and raw.get('__type', '').rsplit('#', 1)[-1] != code:
            faults.add('', f'__type {raw.get("__type")!r}')
        raw.pop('__type', None)
        if protocol == 'json' and 'x-amzn-query-error' in headers and 'awsQueryCompatible' not in model(service).metadata:
            faults.add('', 'x-amzn-query-error of a service that never spoke query')
        shape = error_shape(op, code)
        if shape is not None and any(n.lower() == 'message' for n in shape.members):
            from_json(shape, raw, code, faults)
        elif set(raw) - {'message', 'Message', 'Type'}:
            faults.add('', f'error {code} with {sorted(raw)}')
        message = raw.get('message') or raw.get('Message')
    else:
        root = parse_xml(body, faults)
        if root is None:
            return
        node = root if service == 's3' else root.find('{*}Error')
        if node is None or service != 's3' and local(root.tag) != 'ErrorResponse':
            faults.add('', 'is no error')
            return
        code, message = node.findtext('{*}Code', ''), node.findtext('{*}Message', '')
        if service != 's3' and not root.findtext('{*}RequestId'):
            faults.add('', 'the error has no RequestId')
        if service == 's3' and not node.findtext('RequestId'):
            faults.add('', 'the error has no RequestId')
        shape = error_shape(op, code)
    if not message:
        faults.add('', f'error {code} without a message')
    common = QUERY_COMMON if protocol == 'query' else COMMON
    if shape is None and code not in common and code not in EXTRA[service]:
        faults.add('', f'error {code} is none of the operation: {message}')
    want = shape is not None and shape.metadata.get('error', {}).get('httpStatusCode')
    if want and want != e['status']:
        faults.add('', f'error {code} with status {e["status"]}, not {want}')


def error_shape(op, code):
    return next((s for s in op.error_shapes if code in (s.name, s.error_code)), None)


def judge_unserved(e):
    """A request to a service that is not there."""
    answered = Faults()
    if e['status'] < 400:
        answered.add('', f'{e["status"]} for a service that is not there')
    return 'unserved', Faults(), answered


def main(files):
    seen, refused, bad, first, exchanges = collections.Counter(), collections.Counter(), collections.Counter(), {}, 0
    for file in files:
        for number, line in enumerate(open(file, encoding='utf-8'), 1):
            if not line.endswith('\n'):
                continue  # the process was killed while it wrote
            e = json.loads(line)
            if not e['service']:
                continue  # of nobody: it is no request to AWS
            exchanges += 1
            try:
                name, sent, answered = judge(e) if e['service'] in EXTRA else judge_unserved(e)
            except Exception as error:
                raise RuntimeError(f'judge {line[:2000]}') from error
            seen[e['service'], name] += 1
            for path, text in sent.found:
                if e['status'] >= 400:
                    refused[f'{e["service"]} {name} {path}: {text}'] += 1
            for path, text in answered.found:
                fault = f'{e["service"]} {name} {path}: {text}'
                if fault.startswith(tuple(EXCEPT)):
                    continue
                bad[fault] += 1
                first.setdefault(fault, f'{file}:{number}')
    for text, n in sorted(bad.items()):
        print(f'WRONG {text} ({n} times, first in {first[text]})')
    print(f'wire: {exchanges} exchanges of {len(seen)} operations judged by botocore\'s models: {len(bad)} violations; '
          f'{sum(refused.values())} faults in requests, all refused')
    return 1 if bad else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
