#!/usr/bin/env bash
# The commonest commands of the AWS CLI, in an empty cloud.
#
# Usage: commands.sh FOLDER, with the endpoint, region and credentials in the AWS_
# variables. FOLDER is empty, and for what this writes.
set -euo pipefail
cd "$1"
export AWS_PAGER=

expect() { # what, got, want
  [ "$2" = "$3" ] || { echo "$1: got '$2', want '$3'" >&2; exit 1; }
}

refused() { # what the error holds, command…
  local want=$1 got
  shift
  if got=$("$@" 2>&1); then echo "$*: it was not refused" >&2; exit 1; fi
  [[ $got == *"$want"* ]] || { echo "$*: got '$got', want '$want'" >&2; exit 1; }
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

# Who is asking.
account=$(aws sts get-caller-identity --query Account --output text)
expect 'account' "${#account}" 12

# Objects.
aws s3 mb s3://box >/dev/null
mkdir -p tree/a && printf one >tree/1.txt && printf two >'tree/a/2 ü+.txt' && head -c 20000000 /dev/zero >tree/large
find tree -type f -exec touch -t 200101010000 {} +
aws s3 sync --quiet tree s3://box/tree
expect 'listed' "$(aws s3 ls --recursive s3://box/tree/ | awk '{ print $3 }' | paste -sd' ' -)" '3 3 20000000'
expect 'prefixes' "$(aws s3 ls s3://box/tree/ | awk '/PRE/ { print $2 }')" a/
printf changed >tree/1.txt
expect 'only what changed' "$(aws s3 sync tree s3://box/tree | grep -c upload:)" 1
rm tree/1.txt
aws s3 sync --quiet --delete tree s3://box/tree
refused 'Not Found' aws s3api head-object --bucket box --key tree/1.txt
aws s3 cp --quiet 's3://box/tree/a/2 ü+.txt' back.txt && expect 'copied back' "$(cat back.txt)" two
aws s3 cp --quiet s3://box/tree/large large && cmp large tree/large
expect 'to standard output' "$(aws s3 cp 's3://box/tree/a/2 ü+.txt' -)" two
printf piped | aws s3 cp --quiet - s3://box/piped
aws s3 mv --quiet s3://box/piped s3://box/moved
expect 'moved' "$(aws s3 ls s3://box/ | awk '{ print $NF }' | paste -sd' ' -)" 'tree/ moved'
expect 'presigned' "$(curl -fsS "$(aws s3 presign s3://box/moved)")" piped
aws s3api put-bucket-versioning --bucket box --versioning-configuration Status=Enabled
first=$(aws s3api put-object --bucket box --key v --body back.txt --metadata Two-Words=1 --tagging a=1 --query VersionId --output text)
aws s3api put-object --bucket box --key v --body tree/large >/dev/null
expect 'versions' "$(aws s3api list-object-versions --bucket box --prefix v --query 'length(Versions)')" 2
aws s3api get-object --bucket box --key v --version-id "$first" old >/dev/null && expect 'old version' "$(cat old)" two
expect 'metadata' "$(aws s3api head-object --bucket box --key v --version-id "$first" --query 'Metadata."two-words"' --output text)" 1
expect 'tags' "$(aws s3api get-object-tagging --bucket box --key v --version-id "$first" --query 'TagSet[0].[Key,Value]' --output text)" $'a\t1'
refused PreconditionFailed aws s3api put-object --bucket box --key v --body back.txt --if-none-match '*'
expect 'range' "$(aws s3api get-object --bucket box --key moved --range bytes=1-2 part --query ContentRange --output text)" 'bytes 1-2/5'
refused NoSuchBucket aws s3 ls s3://nowhere
expect 'pages' "$(aws s3api list-objects-v2 --bucket box --page-size 1 --query 'length(Contents)')" 4
aws s3 rm --quiet --recursive s3://box/tree
expect 'left' "$(aws s3api list-objects-v2 --bucket box --query 'Contents[].Key' --output text)" $'moved\tv'

# A stack, by change set. The CLI names it by the second.
deploy() { sleep 1 && aws cloudformation deploy "$@"; }
cat >stack.yaml <<'END'
Parameters: {Days: {Type: Number, Default: 86400}}
Resources:
  Queue: {Type: 'AWS::SQS::Queue', Properties: {QueueName: letters, MessageRetentionPeriod: !Ref Days}}
Outputs: {Url: {Value: !Ref Queue}}
END
deploy --stack-name post --template-file stack.yaml >/dev/null
expect 'no changes' "$(deploy --stack-name post --template-file stack.yaml 2>&1 | tail -1)" 'No changes to deploy. Stack post is up to date'
deploy --stack-name post --template-file stack.yaml --parameter-overrides Days=172800 >/dev/null
expect 'stack' "$(aws cloudformation describe-stacks --stack-name post --query 'Stacks[0].[StackStatus,Parameters[0].ParameterValue]' --output text)" $'UPDATE_COMPLETE\t172800'
expect 'resources' "$(aws cloudformation list-stack-resources --stack-name post --query 'StackResourceSummaries[].ResourceType' --output text)" AWS::SQS::Queue
expect 'last event' "$(aws cloudformation describe-stack-events --stack-name post --query 'StackEvents[0].[LogicalResourceId,ResourceStatus]' --output text)" $'post\tUPDATE_COMPLETE'
url=$(aws cloudformation describe-stacks --stack-name post --query 'Stacks[0].Outputs[0].OutputValue' --output text)
refused 'does not exist' aws cloudformation describe-stacks --stack-name none
aws cloudformation validate-template --template-body file://stack.yaml >/dev/null

# Queues, topics and events.
arn=$(aws sqs --endpoint-url "$AWS_ENDPOINT_URL" get-queue-attributes --queue-url "$url" --attribute-names QueueArn --query Attributes.QueueArn --output text)
printf '{"Policy":"{\\"Version\\":\\"2012-10-17\\",\\"Statement\\":[{\\"Effect\\":\\"Allow\\",\\"Principal\\":{\\"Service\\":\\"events.amazonaws.com\\"},\\"Action\\":\\"sqs:SendMessage\\",\\"Resource\\":\\"%s\\"}]}"}' "$arn" >policy.json
aws sqs --endpoint-url "$AWS_ENDPOINT_URL" set-queue-attributes --queue-url "$url" --attributes file://policy.json
aws events put-rule --name news --event-pattern '{"source":["acme"]}' >/dev/null
expect 'targets failed' "$(aws events put-targets --rule news --targets "Id=q,Arn=$arn,InputPath=\$.detail" --query FailedEntryCount)" 0
expect 'events failed' "$(aws events put-events --entries '[{"Source":"acme","DetailType":"t","Detail":"{\"n\":1}"}]' --query FailedEntryCount)" 0
expect 'delivered' "$(aws sqs --endpoint-url "$AWS_ENDPOINT_URL" receive-message --queue-url "$url" --wait-time-seconds 20 --query 'Messages[0].Body' --output text)" '{"n":1}'
expect 'pattern' "$(aws events test-event-pattern --event-pattern '{"source":[{"prefix":"ac"}]}' --event '{"id":"1","source":"acme","detail-type":"t","account":"1","time":"2026-01-01T00:00:00Z","region":"r","resources":[],"detail":{}}' --query Result)" true
expect 'rules' "$(aws events list-rules --query 'Rules[].Name' --output text)" news
topic=$(aws sns create-topic --name notices --query TopicArn --output text)
aws sns publish --topic-arn "$topic" --message hello >/dev/null

# A state machine.
role=$(aws iam create-role --role-name states --assume-role-policy-document '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"states.amazonaws.com"},"Action":"sts:AssumeRole"}]}' --query Role.Arn --output text)
machine=$(aws stepfunctions create-state-machine --name steps --role-arn "$role" --definition '{"StartAt":"P","States":{"P":{"Type":"Pass","Result":{"n":2},"End":true}}}' --query stateMachineArn --output text)
execution=$(aws stepfunctions start-execution --state-machine-arn "$machine" --name one --input '{}' --query executionArn --output text)
await 'execution' SUCCEEDED aws stepfunctions describe-execution --execution-arn "$execution" --query status --output text
expect 'output' "$(aws stepfunctions describe-execution --execution-arn "$execution" --query output --output text)" '{"n":2}'
expect 'executions' "$(aws stepfunctions list-executions --state-machine-arn "$machine" --status-filter SUCCEEDED --query 'executions[].name' --output text)" one
expect 'history' "$(aws stepfunctions get-execution-history --execution-arn "$execution" --reverse-order --query 'events[0].type' --output text)" ExecutionSucceeded
refused ExecutionDoesNotExist aws stepfunctions describe-execution --execution-arn "${execution}x"
expect 'validated' "$(aws stepfunctions validate-state-machine-definition --definition '{"StartAt":"X","States":{}}' --query result --output text)" FAIL

# Logs.
aws logs create-log-group --log-group-name /app && aws logs create-log-stream --log-group-name /app --log-stream-name s
now=$(($(date +%s) * 1000))
aws logs put-log-events --log-group-name /app --log-stream-name s --log-events "timestamp=$now,message=hello" "timestamp=$((now + 1)),message='{\"level\":\"ERROR\"}'" >/dev/null
expect 'filter' "$(aws logs filter-log-events --log-group-name /app --filter-pattern '{ $.level = "ERROR" }' --query 'length(events)')" 1
expect 'events' "$(aws logs get-log-events --log-group-name /app --log-stream-name s --start-from-head --query 'events[0].message' --output text)" hello
expect 'groups' "$(aws logs describe-log-groups --log-group-name-prefix /a --query 'logGroups[].logGroupName' --output text)" /app
refused ResourceNotFoundException aws logs filter-log-events --log-group-name /none

# Functions, and SageMaker's lists.
expect 'functions' "$(aws lambda list-functions --query 'length(Functions)')" 0
refused ResourceNotFoundException aws lambda invoke --function-name none out.json
aws sagemaker create-model-package-group --model-package-group-name m >/dev/null
expect 'groups' "$(aws sagemaker list-model-package-groups --name-contains m --query 'ModelPackageGroupSummaryList[].ModelPackageGroupName' --output text)" m
expect 'packages' "$(aws sagemaker list-model-packages --model-package-group-name m --query 'length(ModelPackageSummaryList)')" 0
for jobs in training-jobs:TrainingJobSummaries processing-jobs:ProcessingJobSummaries transform-jobs:TransformJobSummaries models:Models; do
  expect "$jobs" "$(aws sagemaker "list-${jobs%:*}" --sort-by Name --sort-order Ascending --query "length(${jobs#*:})")" 0
done
refused ValidationException aws sagemaker describe-training-job --training-job-name none

# And all of it goes.
aws cloudformation delete-stack --stack-name post && aws cloudformation wait stack-delete-complete --stack-name post
aws stepfunctions delete-state-machine --state-machine-arn "$machine"
aws s3api delete-objects --bucket box --delete "$(aws s3api list-object-versions --bucket box --query '{Objects: [Versions, DeleteMarkers][].{Key: Key, VersionId: VersionId}}')" >/dev/null
aws s3 rb s3://box >/dev/null
