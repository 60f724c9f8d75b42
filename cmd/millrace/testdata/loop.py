"""The main loop with boto3 alone: upload, approve, score, read the scores.

Usage: python3 loop.py FOLDER, with the endpoint, region and credentials in the
AWS_ variables. FOLDER holds learn.csv.gz (3,000 flights) and score.csv (500).
"""

import json
import sys
import time

import boto3
from botocore.exceptions import ClientError

GROUP = "flights"


def expect(what, got, want):
    if got != want:
        sys.exit(f"{what}: got {got!r}, want {want!r}")


def wait(what, look):
    """Looks until there is something, and gives it."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.05)
    sys.exit(f"{what}: not within 90 seconds")


def code_of(call, **arguments):
    """The error code and HTTP status with which a call is refused."""
    try:
        call(**arguments)
    except ClientError as e:
        return e.response["Error"]["Code"], e.response["ResponseMetadata"]["HTTPStatusCode"]
    return None


def main(folder):
    clients = {name: boto3.client(name) for name in ("s3", "stepfunctions", "sagemaker", "cloudformation", "logs", "sts", "events", "lambda", "sqs")}
    s3, states, sagemaker = clients["s3"], clients["stepfunctions"], clients["sagemaker"]
    stack = clients["cloudformation"].describe_stacks(StackName="Millrace")["Stacks"][0]
    expect("stack", stack["StackStatus"], "CREATE_COMPLETE")
    outputs = {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}
    machine, data, ledger = outputs["StateMachine"], outputs["DataBucket"], outputs["LedgerBucket"]
    expect("account", clients["sts"].get_caller_identity()["Account"], machine.split(":")[4])
    expect("machine", states.describe_state_machine(stateMachineArn=machine)["status"], "ACTIVE")
    functions = [f["FunctionName"] for f in clients["lambda"].list_functions()["Functions"]]
    expect("functions", sorted(functions), sorted("millrace-" + f for f in
           ("jobcompleted", "modelapproved", "newdata", "register", "runended", "snapshot", "startjob")))
    expect("versioning", s3.get_bucket_versioning(Bucket=data)["Status"], "Enabled")

    def begins(after):
        """The name of the run that began after so many; numbers can have gaps."""
        return wait("a run begins", lambda: states.list_executions(stateMachineArn=machine)["executions"][:-after or None])[-1]["name"]

    def describe(name):
        return states.describe_execution(executionArn=machine.replace(":stateMachine:", ":execution:") + ":" + name)

    def ended(name):
        return wait(f"{name} ends", lambda: (lambda d: d if d["status"] != "RUNNING" else None)(describe(name)))

    # Learn.
    s3.upload_file(f"{folder}/learn.csv.gz", data, "flights/raw/learn.csv.gz")
    version = s3.head_object(Bucket=data, Key="flights/raw/learn.csv.gz")["VersionId"]

    def packages():
        return sagemaker.list_model_packages(ModelPackageGroupName=GROUP, SortBy="CreationTime", SortOrder="Descending")["ModelPackageSummaryList"]

    package = wait("a version", packages)[0]
    expect("approval", (package["ModelPackageVersion"], package["ModelApprovalStatus"], package["ModelPackageStatus"]),
           (1, "PendingManualApproval", "Completed"))
    learning = begins(after=0)
    run = describe(learning)
    expect("run 1", (run["status"], run["name"], run["stateMachineArn"]), ("RUNNING", learning, machine))
    expect("its input", json.loads(run["input"])["pipeline"], "flights")
    for name in (learning + "-prepare-0", learning + "-evaluate-0"):
        job = sagemaker.describe_processing_job(ProcessingJobName=name)
        expect(name, (job["ProcessingJobStatus"], json.loads(job["ExitMessage"])["ok"]), ("Completed", True))
    training = sagemaker.describe_training_job(TrainingJobName=learning + "-train-0")
    expect("training", (training["TrainingJobStatus"], training["SecondaryStatus"]), ("Completed", "Completed"))
    expect("order of times", training["CreationTime"] <= training["TrainingStartTime"] <= training["TrainingEndTime"], True)
    model = training["ModelArtifacts"]["S3ModelArtifacts"]
    detail = sagemaker.describe_model_package(ModelPackageName=package["ModelPackageArn"])
    expect("model of the version", detail["InferenceSpecification"]["Containers"][0]["ModelDataUrl"], model)
    expect("model file", s3.head_object(Bucket=ledger, Key=model.split("/", 3)[3])["ContentLength"] > 1000, True)
    log = clients["logs"].filter_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=learning + "-train-0/")["events"]
    expect("metric lines", any("validation-logloss:" in e["message"] for e in log), True)

    # Approve.
    sagemaker.update_model_package(ModelPackageArn=package["ModelPackageArn"], ModelApprovalStatus="Approved", ApprovalDescription="by loop.py")
    run = ended(learning)
    expect("run 1", (run["status"], json.loads(run["output"])["outcome"]), ("SUCCEEDED", "released"))
    expect("approval", (packages()[0]["ModelApprovalStatus"], sagemaker.describe_model_package(ModelPackageName=package["ModelPackageArn"])["ApprovalDescription"]),
           ("Approved", "by loop.py"))
    history = [e for page in states.get_paginator("get_execution_history").paginate(executionArn=run["executionArn"], PaginationConfig={"PageSize": 7})
               for e in page["events"]]
    expect("event ids", [e["id"] for e in history], list(range(1, len(history) + 1)))
    expect("first and last", (history[0]["type"], history[-1]["type"]), ("ExecutionStarted", "ExecutionSucceeded"))
    entered = [e["stateEnteredEventDetails"]["name"] for e in history if e["type"] == "TaskStateEntered"]
    expect("tasks", entered, ["Snapshot", "Started", "Prepare", "Train", "Evaluate", "Register", "RequestApproval", "AwaitApproval", "Release", "Released", "Completed"])
    newest = states.get_execution_history(executionArn=run["executionArn"], reverseOrder=True, maxResults=1)["events"]
    expect("newest event", newest[0]["id"], history[-1]["id"])

    # Score.
    with open(f"{folder}/score.csv", "rb") as f:
        s3.put_object(Bucket=data, Key="flights/score/score.csv", Body=f)
    scoring = begins(after=1)
    run = ended(scoring)
    expect("run 2", (run["status"], json.loads(run["output"])["outcome"]), ("SUCCEEDED", "scored"))
    jobs = sagemaker.list_transform_jobs(NameContains=scoring + "-")["TransformJobSummaries"]
    expect("transform jobs", [(j["TransformJobName"], j["TransformJobStatus"]) for j in jobs], [(scoring + "-score-0", "Completed")])
    job = sagemaker.describe_transform_job(TransformJobName=scoring + "-score-0")
    expect("model", job["ModelName"], "flights-v1")
    bucket, prefix = job["TransformOutput"]["S3OutputPath"].removeprefix("s3://").split("/", 1)
    keys = [o["Key"] for o in s3.list_objects_v2(Bucket=bucket, Prefix=prefix)["Contents"]]
    expect("files of scores", keys, [prefix.rstrip("/") + "/score.csv.out"])
    lines = s3.get_object(Bucket=bucket, Key=keys[0])["Body"].read().decode().splitlines()
    expect("keys", [line.split(",")[0] for line in lines], [f"200102-{i:06d}" for i in range(1, 501)])
    expect("scores", [line for line in lines if not 0 < float(line.split(",")[1]) < 1], [])
    expect("runs", sorted((e["name"], e["status"]) for e in states.list_executions(stateMachineArn=machine)["executions"]),
           sorted([(learning, "SUCCEEDED"), (scoring, "SUCCEEDED")]))

    # The rest of what people do by hand.
    expect("pinned version", s3.get_object(Bucket=data, Key="flights/raw/learn.csv.gz", VersionId=version)["ContentLength"] > 1000, True)
    dead = clients["sqs"].get_queue_attributes(QueueUrl=outputs["DeadLetterQueue"], AttributeNames=["ApproximateNumberOfMessages"])
    expect("dead letters", dead["Attributes"]["ApproximateNumberOfMessages"], "0")
    rules = [r for page in clients["events"].get_paginator("list_rules").paginate() for r in page["Rules"]]
    expect("rules", any("aws.s3" in r.get("EventPattern", "") and r["State"] == "ENABLED" for r in rules), True)

    # Refusals are AWS's.
    expect("no such run", code_of(states.describe_execution, executionArn=run["executionArn"] + "99"), ("ExecutionDoesNotExist", 400))
    expect("no such key", code_of(s3.get_object, Bucket=data, Key="nothing"), ("NoSuchKey", 404))
    expect("no such bucket", code_of(s3.list_objects_v2, Bucket="nothing-of-ours"), ("NoSuchBucket", 404))
    expect("no such job", code_of(sagemaker.describe_processing_job, ProcessingJobName="nothing"), ("ResourceNotFound", 400))
    expect("no such approval", code_of(sagemaker.update_model_package, ModelPackageArn=package["ModelPackageArn"], ModelApprovalStatus="Maybe"), ("ValidationException", 400))
    expect("no such function", code_of(clients["lambda"].get_function, FunctionName="nothing"), ("ResourceNotFoundException", 404))
    wrong = boto3.client("sts", aws_secret_access_key="wrong", aws_access_key_id="test")
    expect("wrong secret", code_of(wrong.get_caller_identity), ("SignatureDoesNotMatch", 403))
    print("released and scored with boto3", boto3.__version__)


main(sys.argv[1])
