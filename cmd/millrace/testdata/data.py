"""Reads and writes tables and files the way people do on top of S3: pandas through s3fs, pyarrow's own client, boto3's resources.

    data.py FOLDER   with the endpoint and credentials of an empty cloud in the environment
"""
import os
import sys
import urllib.request

import boto3
import pandas
import pyarrow
import pyarrow.dataset
import pyarrow.fs
import s3fs

BUCKET = 'tables'
LARGE = os.urandom(1 << 20) * 12  # more than one part


def refused(error, f, *arguments):
    try:
        f(*arguments)
    except error:
        return
    sys.exit(f'{f}{arguments}: it was not refused')


def tables(table):
    for name, write, read in (('t.csv.gz', lambda at: table.to_csv(at, index=False), pandas.read_csv), ('t.parquet', table.to_parquet, pandas.read_parquet)):
        at = f's3://{BUCKET}/{name}'
        write(at)
        pandas.testing.assert_frame_equal(read(at), table)
    table.to_parquet(f's3://{BUCKET}/parts', partition_cols=['k'])
    assert len(pandas.read_parquet(f's3://{BUCKET}/parts', filters=[('k', '==', 1)])) == (table.k == 1).sum()
    refused(FileNotFoundError, pandas.read_csv, f's3://{BUCKET}/none.csv')


def files(folder):
    fs = s3fs.S3FileSystem(use_listings_cache=False)
    with fs.open(f'{BUCKET}/f/large', 'wb') as f:
        for n in range(12):
            f.write(LARGE[n << 20:(n + 1) << 20])
    with fs.open(f'{BUCKET}/f/large', 'ab') as f:
        f.write(b'end')
    assert fs.cat(f'{BUCKET}/f/large') == LARGE + b'end' and fs.tail(f'{BUCKET}/f/large', 3) == b'end'
    fs.pipe({f'{BUCKET}/f/k/{n} ü+': b'x' * n for n in range(30)})
    assert len(fs.ls(f'{BUCKET}/f/k')) == 30 and len(fs.find(f'{BUCKET}/f')) == 31 and len(fs.glob(f'{BUCKET}/f/*/2?*')) == 11
    assert [(len(d), len(f)) for _, d, f in fs.walk(f'{BUCKET}/f')] == [(1, 1), (0, 30)]
    fs.mv(f'{BUCKET}/f/k/3 ü+', f'{BUCKET}/f/moved')
    fs.cp(f'{BUCKET}/f/large', f'{BUCKET}/f/copy')
    assert fs.cat(f'{BUCKET}/f/moved') == b'xxx' and fs.size(f'{BUCKET}/f/copy') == len(LARGE) + 3
    fs.setxattr(f'{BUCKET}/f/moved', hello='world')
    fs.put_tags(f'{BUCKET}/f/moved', {'a': 'b'})
    assert fs.getxattr(f'{BUCKET}/f/moved', 'hello') == 'world' and fs.get_tags(f'{BUCKET}/f/moved') == {'a': 'b'}
    assert urllib.request.urlopen(fs.url(f'{BUCKET}/f/moved')).read() == b'xxx'
    fs.put(__file__, f'{BUCKET}/f/script')
    fs.get(f'{BUCKET}/f/script', folder + '/script')
    assert open(folder + '/script').read() == open(__file__).read()
    fs.rm(f'{BUCKET}/f', recursive=True)
    assert not fs.exists(f'{BUCKET}/f')
    refused(FileNotFoundError, fs.ls, 'no-such-bucket')
    refused(FileNotFoundError, fs.open, f'{BUCKET}/none')


def arrow(table):
    host = os.environ['AWS_ENDPOINT_URL'].removeprefix('http://')
    fs = pyarrow.fs.S3FileSystem(endpoint_override=host, scheme='http', region=os.environ['AWS_DEFAULT_REGION'])
    pyarrow.dataset.write_dataset(pyarrow.Table.from_pandas(table), f'{BUCKET}/set', format='parquet', partitioning=['k'], filesystem=fs)
    assert pyarrow.dataset.dataset(f'{BUCKET}/set', partitioning=['k'], filesystem=fs).count_rows() == len(table)
    with fs.open_output_stream(f'{BUCKET}/a/large') as f:
        f.write(LARGE)
    with fs.open_input_file(f'{BUCKET}/a/large') as f:
        f.seek(10 << 20)
        assert f.read(100) == LARGE[10 << 20:(10 << 20) + 100]
    fs.move(f'{BUCKET}/a/large', f'{BUCKET}/a/moved')
    assert [f.size for f in fs.get_file_info(pyarrow.fs.FileSelector(f'{BUCKET}/a'))] == [len(LARGE)]
    fs.delete_dir(f'{BUCKET}/a')
    assert fs.get_file_info(f'{BUCKET}/a').type == pyarrow.fs.FileType.NotFound


def resources():
    bucket = boto3.resource('s3').Bucket(BUCKET)
    bucket.upload_file(__file__, 'r/script')
    assert [o.key for o in bucket.objects.filter(Prefix='r/')] == ['r/script']
    bucket.objects.all().delete()
    bucket.Versioning().enable()
    for body in (b'1', b'2'):
        bucket.put_object(Key='v', Body=body)
    bucket.Object('v').delete()
    assert len(list(bucket.object_versions.all())) == 3
    bucket.object_versions.all().delete()
    bucket.delete()
    bucket.wait_until_not_exists()
    queue = boto3.resource('sqs').create_queue(QueueName='letters')
    topic = boto3.resource('sns').create_topic(Name='news')
    topic.subscribe(Protocol='sqs', Endpoint=queue.attributes['QueueArn'], Attributes={'RawMessageDelivery': 'true'})
    queue.set_attributes(Attributes={'Policy': '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"sqs:SendMessage","Resource":"*"}]}'})
    topic.publish(Message='hello')
    message = queue.receive_messages(WaitTimeSeconds=20)[0]
    assert message.body == 'hello'
    message.delete()


def main(folder):
    boto3.client('s3').create_bucket(Bucket=BUCKET)
    table = pandas.DataFrame({'n': range(5000), 'text': [f'row {n}' for n in range(5000)], 'x': [n / 7 for n in range(5000)], 'k': [n % 3 for n in range(5000)]})
    tables(table)
    files(folder)
    arrow(table)
    resources()


if __name__ == '__main__':
    main(sys.argv[1])
