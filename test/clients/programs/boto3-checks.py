"""Checks with boto3, old and new. Usage: boto3-checks.py ENDPOINT BUCKET CHECK; prints `passed CHECK` or ends with a traceback."""

import hashlib
import json
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



def multipart_form(fields, body):
    boundary = "----checks"
    parts = ["--%s\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n" % (boundary, name, value) for name, value in fields.items()]
    parts.append("--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n%s\r\n--%s--\r\n" % (boundary, body, boundary))
    return "".join(parts).encode(), {"Content-Type": "multipart/form-data; boundary=" + boundary}


def sessions():
    sts = boto3.client("sts", endpoint_url=endpoint)

    def with_credentials(service, given, **config):
        return boto3.client(
            service,
            endpoint_url=endpoint,
            aws_access_key_id=given["AccessKeyId"],
            aws_secret_access_key=given["SecretAccessKey"],
            aws_session_token=given["SessionToken"],
            config=Config(**config),
        )

    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"], "Resource": "arn:aws:s3:::%s/session/*" % bucket}],
    }
    assumed = sts.assume_role(RoleArn="arn:aws:iam::123456789012:role/checks", RoleSessionName="boto3", Policy=json.dumps(policy), DurationSeconds=900)
    equal(assumed["AssumedRoleUser"]["Arn"].endswith(":assumed-role/checks/boto3"), True)
    given = assumed["Credentials"]
    equal(with_credentials("sts", given).get_caller_identity()["Arn"], assumed["AssumedRoleUser"]["Arn"])
    own = with_credentials("s3", given, signature_version="s3v4", s3={"addressing_style": "path"})
    own.put_object(Bucket=bucket, Key="session/a", Body=b"of a session")
    equal(own.get_object(Bucket=bucket, Key="session/a")["Body"].read(), b"of a session")
    body = bytes(range(256)) * 70_001
    with open("session.bin", "wb") as file:
        file.write(body)
    own.upload_file("session.bin", bucket, "session/parts")
    own.download_file(bucket, "session/parts", "session-back.bin")
    with open("session-back.bin", "rb") as file:
        equal(file.read() == body, True)
    with urllib.request.urlopen(own.generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "session/a"})) as answer:
        equal(answer.read(), b"of a session")
    form = own.generate_presigned_post(bucket, "session/form")
    data, headers = multipart_form(form["fields"], "posted")
    with urllib.request.urlopen(urllib.request.Request(form["url"], data=data, headers=headers)) as answer:
        equal(answer.status, 204)
    equal(own.get_object(Bucket=bucket, Key="session/form")["Body"].read(), b"posted")
    for refused in (
        lambda: own.put_object(Bucket=bucket, Key="elsewhere", Body=b""),
        lambda: own.list_objects_v2(Bucket=bucket),
        lambda: own.delete_object(Bucket=bucket, Key="session/a"),
        lambda: own.list_buckets(),
        lambda: with_credentials("sts", given).get_session_token(),
    ):
        equal(code_of(refused), "AccessDenied")

    given = sts.get_session_token(DurationSeconds=900)["Credentials"]
    with_credentials("s3", given, s3={"addressing_style": "path"}).delete_object(Bucket=bucket, Key="session/a")
    token = given["SessionToken"]
    changed = dict(given, SessionToken=token[:9] + ("B" if token[9] == "A" else "A") + token[10:])
    equal(code_of(lambda: with_credentials("s3", changed).list_buckets()), "InvalidToken")
    equal(code_of(lambda: sts.get_federation_token(Name="checks")), "NotImplemented")


{each.__name__: each for each in (objects, files, create_once, compare_and_swap, safe_delete, not_modified, paginator, presigned, sessions)}[check]()
print("passed", check)
