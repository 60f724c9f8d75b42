"""Judges recorded exchanges (JSON lines, see Exchange) by botocore's service models.

    python3 validate.py wire-*.jsonl

Each request is read as a server reads it (the reverse of botocore's serializer), each answer as strictly as a client
could: unknown and missing members, wrong types, lengths, ranges, whole-value patterns, enums, timestamp formats, statuses,
error codes and the protocol's headers. A request that its model does not allow must have been refused. Prints every
violation once, with how often it occurred; ends with 1 when there is one.
"""
import base64
import collections
import json
import sys
import urllib.parse

from known import COMMON, EXCEPT, EXTRA, QUERY_COMMON
from reading import Faults, check, from_form, from_json, from_xml, json_body, local, model, parse_xml, read_headers, read_payload, read_rest, route


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
    if not message and (service, code) != ('ssm', 'ParameterNotFound'):  # of which AWS says no more
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
