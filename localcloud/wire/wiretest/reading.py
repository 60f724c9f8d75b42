"""Reads requests and answers as botocore's service models say they are written, and holds them against the models."""
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
