"""Runs the machines on stdin, one JSON object a line, with moto's interpreter,
and writes a line for each. With {"bench": true} it times one; CACHE_PATHS=1
has moto keep the paths that it parsed."""
import functools
import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1")
import boto3  # noqa: E402
from moto import mock_aws  # noqa: E402
from moto.stepfunctions.parser.asl.parse.asl_parser import AmazonStateLanguageParser  # noqa: E402
from moto.stepfunctions.parser.backend.execution_worker import ExecutionWorker  # noqa: E402
from moto.stepfunctions.parser.models import StepFunctionsParserBackend  # noqa: E402

parse_one, parsing = AmazonStateLanguageParser.parse, threading.Lock()


def parse(definition):
    with parsing:  # its parser is for one thread
        return parse_one(definition)


AmazonStateLanguageParser.parse = staticmethod(parse)
ROLE = "arn:aws:iam::123456789012:role/r"

if os.environ.get("CACHE_PATHS"):
    import jsonpath_ng.ext
    import moto.stepfunctions.parser.asl.utils.json_path as paths

    paths.parse = functools.lru_cache(maxsize=None)(jsonpath_ng.ext.parse)


def time_one(c):
    """Times an execution through the API, whose own time does not count."""
    with mock_aws(config={"stepfunctions": {"execute_state_machine": True}}):
        client = boto3.client("stepfunctions")
        arn = client.create_state_machine(name="bench", definition=json.dumps(c["definition"]), roleArn=ROLE)["stateMachineArn"]
        began = time.perf_counter()
        execution = client.start_execution(stateMachineArn=arn, input=json.dumps(c["input"]))["executionArn"]
        while (status := client.describe_execution(executionArn=execution)["status"]) == "RUNNING":
            time.sleep(0.002)
        return {"status": status, "seconds": time.perf_counter() - began}


def run(c):
    """Runs a machine in the interpreter itself, to its end: to make a client takes longer."""
    ExecutionWorker.start = ExecutionWorker._execution_logic
    backend = StepFunctionsParserBackend("us-east-1", "123456789012")
    machine = backend.create_state_machine(name="m", definition=json.dumps(c["definition"]), roleArn=ROLE)
    execution = backend.start_execution(machine.arn, name="e", execution_input=json.dumps(c["input"]))
    path = [e["stateEnteredEventDetails"]["name"] for e in execution.to_history_output()["events"] if e["type"].endswith("StateEntered")]
    out = {"status": execution.status, "error": execution.error or "", "cause": execution.cause or "", "path": path}
    if execution.status == "SUCCEEDED":
        out["output"] = execution.output
    return out


def answer(line):
    case = json.loads(line)
    try:
        out = time_one(case) if case.get("bench") else run(case)
    except Exception as e:  # what moto refuses is an answer too
        out = {"status": "REFUSED", "cause": f"{type(e).__name__}: {e}", "path": []}
    return json.dumps({"id": case.get("id"), **out})


# Most of an execution's time in moto is waiting.
with ThreadPoolExecutor(24) as pool:
    for text in pool.map(answer, sys.stdin):
        print(text, flush=True)
