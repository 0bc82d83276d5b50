"""Checks with boto3, old and new. Usage: boto3-checks.py ENDPOINT BUCKET CHECK; prints `passed CHECK` or ends with a traceback."""

import hashlib
import sys
import threading
import urllib.request

import boto3
from botocore.client import Config
from botocore.exceptions import ClientError

endpoint, bucket, check = sys.argv[1:]


def client(**config):
    return boto3.client("s3", endpoint_url=endpoint, config=Config(s3={"addressing_style": "path"}, **config))


s3 = client()


def etag_of(body):
    return '"%s"' % hashlib.md5(body).hexdigest()


def conditional(operation, headers, **arguments):
    """Call an operation with condition headers that an old boto3 has no arguments for."""
    own = client()
    own.meta.events.register("before-call.s3." + operation, lambda params, **_: params["headers"].update(headers))
    method = {"PutObject": own.put_object, "DeleteObject": own.delete_object}[operation]
    return method(Bucket=bucket, **arguments)


def refusal(call):
    try:
        call()
    except ClientError as error:
        return error.response
    raise AssertionError("the request was not refused")


def code_of(call):
    return refusal(call)["Error"]["Code"]


def equal(actual, expected):
    if actual != expected:
        raise AssertionError("%r instead of %r" % (actual, expected))


def objects():
    s3.create_bucket(Bucket=bucket)
    put = s3.put_object(Bucket=bucket, Key="a b/\u00fc", Body=b"hello", Metadata={"n": "1"}, StorageClass="STANDARD_IA")
    equal(put["ETag"], etag_of(b"hello"))
    got = s3.get_object(Bucket=bucket, Key="a b/\u00fc")
    equal(got["Body"].read(), b"hello")
    equal(got["Metadata"], {"n": "1"})
    equal(got["StorageClass"], "STANDARD_IA")
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "a b/\u00fc"})
    equal(s3.head_object(Bucket=bucket, Key="copy")["ContentLength"], 5)
    equal([each["Key"] for each in s3.list_objects(Bucket=bucket)["Contents"]], ["a b/\u00fc", "copy"])
    s3.delete_object(Bucket=bucket, Key="copy")
    equal(code_of(lambda: s3.get_object(Bucket=bucket, Key="copy")), "NoSuchKey")
    equal(code_of(lambda: s3.head_object(Bucket=bucket, Key="copy")), "404")


def files():
    # Parts begin at 8 MiB: three of them up, ranges of 1 MiB down, and a copy in parts.
    body = bytes(range(256)) * 70_001
    with open("up.bin", "wb") as file:
        file.write(body)
    s3.upload_file("up.bin", bucket, "file")
    equal(s3.head_object(Bucket=bucket, Key="file")["ETag"][-3:], '-3"')
    s3.copy({"Bucket": bucket, "Key": "file"}, bucket, "copied")
    ranges = boto3.s3.transfer.TransferConfig(multipart_threshold=1024 * 1024, multipart_chunksize=1024 * 1024)
    s3.download_file(bucket, "copied", "down.bin", Config=ranges)
    with open("down.bin", "rb") as file:
        equal(file.read() == body, True)


def create_once():
    def create(body):
        return conditional("PutObject", {"If-None-Match": "*"}, Key="once", Body=body)

    create(b"first")
    response = refusal(lambda: create(b"second"))
    equal(response["Error"]["Code"], "PreconditionFailed")
    equal(response["Error"]["Condition"], "If-None-Match")
    equal(response["Error"]["CurrentETag"], etag_of(b"first"))
    equal(response["ResponseMetadata"]["HTTPStatusCode"], 412)
    equal(s3.get_object(Bucket=bucket, Key="once")["Body"].read(), b"first")


def compare_and_swap():
    threads, increments = 4, 5
    s3.put_object(Bucket=bucket, Key="counter", Body=b"0")
    problems = []

    def work():
        try:
            done = 0
            while done < increments:
                got = s3.get_object(Bucket=bucket, Key="counter")
                body = b"%d" % (int(got["Body"].read()) + 1)
                try:
                    conditional("PutObject", {"If-Match": got["ETag"]}, Key="counter", Body=body)
                    done += 1
                except ClientError as error:
                    if error.response["ResponseMetadata"]["HTTPStatusCode"] not in (409, 412):
                        raise
        except Exception as error:  # a thread's exception would only be printed
            problems.append(error)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    equal(problems, [])
    equal(s3.get_object(Bucket=bucket, Key="counter")["Body"].read(), b"%d" % (threads * increments))


def safe_delete():
    s3.put_object(Bucket=bucket, Key="guarded", Body=b"new")
    stale = lambda: conditional("DeleteObject", {"If-Match": etag_of(b"old")}, Key="guarded")
    equal(code_of(stale), "PreconditionFailed")
    conditional("DeleteObject", {"If-Match": etag_of(b"new")}, Key="guarded")
    equal(code_of(lambda: s3.head_object(Bucket=bucket, Key="guarded")), "404")


def not_modified():
    put = s3.put_object(Bucket=bucket, Key="read", Body=b"v1")
    modified = s3.head_object(Bucket=bucket, Key="read")["LastModified"]
    equal(code_of(lambda: s3.get_object(Bucket=bucket, Key="read", IfNoneMatch=put["ETag"])), "304")
    equal(code_of(lambda: s3.head_object(Bucket=bucket, Key="read", IfModifiedSince=modified)), "304")
    equal(code_of(lambda: s3.get_object(Bucket=bucket, Key="read", IfMatch=etag_of(b"v0"))), "PreconditionFailed")
    equal(s3.get_object(Bucket=bucket, Key="read", IfNoneMatch=etag_of(b"v0"))["Body"].read(), b"v1")


def paginator():
    keys = ["pages/%02d/%d" % (folder, n) for folder in range(5) for n in range(5)]
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix="pages/", PaginationConfig={"PageSize": 7})
    equal([each["Key"] for page in pages for each in page["Contents"]], keys)
    folders = s3.get_paginator("list_objects").paginate(Bucket=bucket, Prefix="pages/", Delimiter="/", PaginationConfig={"PageSize": 2})
    equal([each["Prefix"] for page in folders for each in page["CommonPrefixes"]], ["pages/%02d/" % n for n in range(5)])
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    equal(len(answer["Deleted"]), len(keys))
    equal(s3.list_objects_v2(Bucket=bucket, Prefix="pages/")["KeyCount"], 0)


def presigned():
    signer = client(signature_version="s3v4")  # an old boto3 presigns with version 2 by itself
    upload = signer.generate_presigned_url("put_object", Params={"Bucket": bucket, "Key": "link"})
    with urllib.request.urlopen(urllib.request.Request(upload, data=b"linked", method="PUT", headers={"Content-Type": ""})) as answer:
        equal(answer.status, 200)
    download = signer.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "link"})
    with urllib.request.urlopen(download) as answer:
        equal(answer.read(), b"linked")


{each.__name__: each for each in (objects, files, create_once, compare_and_swap, safe_delete, not_modified, paginator, presigned)}[check]()
print("passed", check)
