#!/usr/bin/env bash
# The main loop with the AWS CLI alone: upload, approve, score, read the scores.
#
# Usage: loop.sh FOLDER, with the endpoint, region and credentials in the AWS_
# variables. FOLDER holds learn.csv.gz (3,000 flights) and score.csv (500).
set -euo pipefail
folder=$1
export AWS_PAGER=

expect() { # what, got, want
  [ "$2" = "$3" ] || { echo "$1: got '$2', want '$3'" >&2; exit 1; }
}

await() { # what, want, command…: runs the command until it prints what is wanted
  local what=$1 want=$2 got=
  shift 2
  for ((i = 0; i < 60; i++)); do
    got=$("$@" 2>&1) && [ "$got" = "$want" ] && return
  done
  echo "$what: got '$got', want '$want'" >&2
  exit 1
}

output() { # name of an output of the stack
  awk -v name="$1" '$1 == name { print $2 }' <<<"$outputs"
}

outputs=$(aws cloudformation describe-stacks --stack-name Millrace --query 'Stacks[0].Outputs[].[OutputKey,OutputValue]' --output text)
machine=$(output StateMachine) data=$(output DataBucket)
newest=(aws stepfunctions list-executions --state-machine-arn "$machine" --query 'executions[0].executionArn' --output text)

# Learn.
aws s3 cp --quiet "$folder/learn.csv.gz" "s3://$data/flights/raw/learn.csv.gz"
packages=(aws sagemaker list-model-packages --model-package-group-name flights --output text)
await 'a version' $'1\tPendingManualApproval' "${packages[@]}" --query 'ModelPackageSummaryList[].[ModelPackageVersion,ModelApprovalStatus]'
learning=$("${newest[@]}")
expect 'run 1' "$(aws stepfunctions describe-execution --execution-arn "$learning" --query status --output text)" RUNNING
expect 'training' "$(aws sagemaker describe-training-job --training-job-name "${learning##*:}-train-0" --query '[TrainingJobStatus,SecondaryStatus]' --output text)" $'Completed\tCompleted'

# Approve.
arn=$("${packages[@]}" --query 'ModelPackageSummaryList[0].ModelPackageArn')
expect 'update' "$(aws sagemaker update-model-package --model-package-arn "$arn" --model-approval-status Approved --approval-description 'by loop.sh' --query ModelPackageArn --output text)" "$arn"
await 'run 1' SUCCEEDED aws stepfunctions describe-execution --execution-arn "$learning" --query status --output text
history=$(aws stepfunctions get-execution-history --execution-arn "$learning" --query 'events[].[id,type,stateEnteredEventDetails.name]' --output text)
expect 'first event' "$(head -1 <<<"$history")" $'1\tExecutionStarted\tNone'
expect 'last event' "$(tail -1 <<<"$history" | cut -f2)" ExecutionSucceeded
expect 'tasks' "$(awk '$2 == "TaskStateEntered" { printf "%s ", $3 }' <<<"$history")" \
  'Snapshot Started Prepare Train Evaluate Register RequestApproval AwaitApproval Release Released Completed '

# Score.
aws s3api put-object --bucket "$data" --key flights/score/score.csv --body "$folder/score.csv" --query VersionId --output text >/dev/null
begun() { scoring=$("${newest[@]}") && [ "$scoring" != "$learning" ] && echo begun; }
await 'run 2' begun begun
scoring=$("${newest[@]}")
await 'run 2' SUCCEEDED aws stepfunctions describe-execution --execution-arn "$scoring" --query status --output text
expect 'transform jobs' "$(aws sagemaker list-transform-jobs --query 'TransformJobSummaries[].[TransformJobName,TransformJobStatus]' --output text)" "${scoring##*:}-score-0"$'\tCompleted'
scores=$(aws sagemaker describe-transform-job --transform-job-name "${scoring##*:}-score-0" --query TransformOutput.S3OutputPath --output text)
expect 'files of scores' "$(aws s3 ls "${scores%/}/" | awk '{ print $4 }')" score.csv.out
lines=$(aws s3 cp "${scores%/}/score.csv.out" -)
expect 'rows' "$(wc -l <<<"$lines" | tr -d ' ')" 500
expect 'scores' "$(grep -cE '^200102-000[0-9]{3},0\.[0-9]+$' <<<"$lines")" 500
expect 'first row' "$(head -1 <<<"$lines" | cut -d, -f1)" 200102-000001

# Refusals are AWS's.
refused=$(aws stepfunctions describe-execution --execution-arn "${learning}99" 2>&1) && { echo 'a run that is not there is described' >&2; exit 1; }
expect 'refusal' "$(grep -o 'ExecutionDoesNotExist' <<<"$refused")" ExecutionDoesNotExist

echo "released and scored with $(aws --version 2>&1)"
