"""Runs the machines on stdin, one JSON object a line, with moto's interpreter,
and writes a line for each. With {"bench": true} it times one; CACHE_PATHS=1
has moto keep the paths that it parsed."""
import functools
import json
import os
import sys
import time

os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1")
import boto3  # noqa: E402
from moto import mock_aws  # noqa: E402

if os.environ.get("CACHE_PATHS"):
    import jsonpath_ng.ext
    import moto.stepfunctions.parser.asl.utils.json_path as paths

    paths.parse = functools.lru_cache(maxsize=None)(jsonpath_ng.ext.parse)


def run(client, c):
    arn = client.create_state_machine(
        name="m" + str(c.get("id", "bench")), definition=json.dumps(c["definition"]), roleArn="arn:aws:iam::123456789012:role/r"
    )["stateMachineArn"]
    began = time.perf_counter()
    execution = client.start_execution(stateMachineArn=arn, input=json.dumps(c["input"]))["executionArn"]
    while True:
        d = client.describe_execution(executionArn=execution)
        if d["status"] != "RUNNING":
            break
        if time.perf_counter() - began > 30:
            return {"status": "HANGS", "path": []}
        time.sleep(0.002)
    seconds = time.perf_counter() - began
    path = []
    if not c.get("bench"):
        for e in client.get_execution_history(executionArn=execution)["events"]:
            if e["type"].endswith("StateEntered"):
                path.append(e["stateEnteredEventDetails"]["name"])
    out = {"status": d["status"], "error": d.get("error", ""), "cause": d.get("cause", ""), "path": path, "seconds": seconds}
    if "output" in d:
        out["output"] = json.loads(d["output"])
    return out


for line in sys.stdin:
    case = json.loads(line)
    # A second execution in one mock fails in moto 5.2.1 (getmoto/moto#10077).
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        try:
            answer = run(boto3.client("stepfunctions"), case)
        except Exception as e:  # what moto refuses is an answer too
            answer = {"status": "REFUSED", "cause": f"{type(e).__name__}: {e}", "path": []}
    print(json.dumps({"id": case.get("id"), **answer}), flush=True)
