"""The edge to an S3-compatible server: one bucket, with its faults in words. Nothing here tells a key."""

import base64
import hashlib
import mimetypes
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProfileNotFound,
)
from botocore.exceptions import ConnectionError as NotConnected

from projects.errors import KromaError

CONNECTIONS = 8
DELETED_AT_ONCE = 1000  # what one request of S3 takes
DEFAULT_REGION = "us-east-1"
REFUSED = {
    "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken",
    "401", "403",
}  # fmt: skip
ELSEWHERE = {"PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"}
# What is left after the client's own repetitions.
ILL = {"InternalError", "ServiceUnavailable", "SlowDown", "500", "502", "503", "504"}


class S3Fault(KromaError):
    """The server did not take or give one object."""

    status = 502
    kind = "infra"
    code = "s3_failed"


class BucketUnusable(S3Fault):
    """Nothing can be done with this bucket now: no key, a wrong one, no bucket, no server."""


@dataclass(frozen=True)
class Place:
    """Where a bucket is and how to get in; blank fields are left to the AWS settings of this machine."""

    bucket: str
    region: str = ""
    profile: str = ""
    endpoint_url: str = ""
    access_key_id: str = field(default="", repr=False)
    secret_access_key: str = field(default="", repr=False)

    @property
    def server(self) -> str:
        """What to call the server."""
        return f"The S3 server {self.endpoint_url}" if self.endpoint_url else "Amazon S3"


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a listing says about an object; `size` in bytes."""

    size: int
    etag: str


class Bucket:
    """One bucket of one server. Its methods raise `S3Fault`, as `BucketUnusable` where no other would do."""

    def __init__(self, place: Place) -> None:
        """Look for credentials, without a call to the server. Raises `BucketUnusable`."""
        self.place = place
        with self._told(""):
            session = boto3.Session(
                aws_access_key_id=place.access_key_id or None,
                aws_secret_access_key=place.secret_access_key or None,
                # Keys of its own win over the profile.
                profile_name=(place.profile or None) if not place.access_key_id else None,
                region_name=place.region or None,
            )
            if session.get_credentials() is None:
                raise NoCredentialsError
            self._client = session.client(
                "s3",
                endpoint_url=place.endpoint_url or None,
                region_name=session.region_name or DEFAULT_REGION,
                config=_config(place),
            )
        self._client.meta.events.register("before-call.s3.DeleteObjects", _content_md5)

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def objects(self, prefix: str) -> dict[str, StoredObject]:
        """All objects whose names begin so, by name. One request for each thousand."""
        found: dict[str, StoredObject] = {}
        with self._told(""):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.place.bucket, Prefix=prefix
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    found[entry["Key"]] = StoredObject(entry["Size"], entry["ETag"].strip('"'))
        return found

    def put(self, name: str, data: bytes, *, sha256: str) -> str:
        """Send an object in one piece; its entity tag. The server checks what arrives by its MD5."""
        with self._told(name):
            answer = self._client.put_object(
                Bucket=self.place.bucket,
                Key=name,
                Body=data,
                ContentMD5=_md5(data),
                **_described(name, sha256),
            )
        return str(answer["ETag"]).strip('"')

    def begin(self, name: str, *, sha256: str) -> str:
        """Begin an object in parts; the id of the upload."""
        with self._told(name):
            answer = self._client.create_multipart_upload(
                Bucket=self.place.bucket, Key=name, **_described(name, sha256)
            )
        return str(answer["UploadId"])

    def parts(self, name: str, upload_id: str) -> dict[int, StoredObject] | None:
        """What has arrived of an upload, by number; None if the server does not know the upload."""
        found: dict[int, StoredObject] = {}
        try:
            with self._told(name):
                pages = self._client.get_paginator("list_parts").paginate(
                    Bucket=self.place.bucket, Key=name, UploadId=upload_id
                )
                for page in pages:
                    for part in page.get("Parts", ()):
                        found[part["PartNumber"]] = StoredObject(part["Size"], part["ETag"].strip('"'))
        except S3Fault as fault:
            if _code(fault.__cause__) in {"NoSuchUpload", "404"}:
                return None
            raise
        return found

    def put_part(self, name: str, upload_id: str, number: int, data: bytes) -> str:
        """Send one part of an object; its entity tag."""
        with self._told(name):
            answer = self._client.upload_part(
                Bucket=self.place.bucket,
                Key=name,
                UploadId=upload_id,
                PartNumber=number,
                Body=data,
                ContentMD5=_md5(data),
            )
        return str(answer["ETag"]).strip('"')

    def complete(self, name: str, upload_id: str, etags: Mapping[int, str]) -> str:
        """Make one object of the parts; its entity tag."""
        parts = [{"PartNumber": number, "ETag": etags[number]} for number in sorted(etags)]
        with self._told(name):
            answer = self._client.complete_multipart_upload(
                Bucket=self.place.bucket, Key=name, UploadId=upload_id, MultipartUpload={"Parts": parts}
            )
        return str(answer["ETag"]).strip('"')

    def abort(self, name: str, upload_id: str) -> None:
        """Drop the parts of an upload; one that is gone already is fine."""
        try:
            with self._told(name):
                self._client.abort_multipart_upload(Bucket=self.place.bucket, Key=name, UploadId=upload_id)
        except S3Fault as fault:
            if _code(fault.__cause__) not in {"NoSuchUpload", "404"}:
                raise

    def delete(self, names: Sequence[str]) -> list[str]:
        """Delete objects, at most `DELETED_AT_ONCE`; a sentence for each that could not be."""
        with self._told(""):
            answer = self._client.delete_objects(
                Bucket=self.place.bucket,
                Delete={"Objects": [{"Key": name} for name in names], "Quiet": True},
            )
        return [
            f"{error.get('Key', '')} could not be deleted ({error.get('Code', 'no reason given')})"
            for error in answer.get("Errors", ())
        ]

    @contextmanager
    def _told(self, name: str) -> Iterator[None]:
        try:
            yield
        # ValueError: boto3 says so of an endpoint that is no address.
        except (BotoCoreError, ClientError, ValueError) as error:
            raise self._fault(error, name) from error

    def _fault(self, error: Exception, name: str) -> S3Fault:
        """One sentence. The server's own message stays out: some repeat parts of the request."""
        place = self.place
        if isinstance(error, ClientError):
            return self._answered(_code(error), name)
        if isinstance(error, ProfileNotFound):
            return BucketUnusable(
                f"This machine has no AWS profile {place.profile}: name another one, or store the project's "
                "own keys"
            )
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return BucketUnusable(
                "There are no S3 credentials: store access_key_id and secret_access_key of the provider s3 "
                "among the project's secrets, or name an AWS profile"
            )
        if isinstance(error, HTTPClientError | NotConnected):
            return BucketUnusable(
                f"{place.server} can't be reached: look at its address and at the network, then sync again"
            )
        if isinstance(error, ValueError | ParamValidationError):
            return BucketUnusable(
                f"The S3 settings can't be used: look at the endpoint “{place.endpoint_url}”, the region "
                f"“{place.region}” and the bucket “{place.bucket}”"
            )
        return S3Fault(f"{name or place.bucket}: {place.server} was not understood ({type(error).__name__})")

    def _answered(self, code: str, name: str) -> S3Fault:
        place = self.place
        if code in REFUSED:
            return BucketUnusable(
                f"{place.server} refused the key for the bucket {place.bucket} ({code}): check the key and "
                "its rights"
            )
        if code == "NoSuchBucket":
            return BucketUnusable(
                f"{place.server} has no bucket {place.bucket}: make it there, or name another one"
            )
        if code in ELSEWHERE:
            return BucketUnusable(
                f"The bucket {place.bucket} does not lie in {place.region or DEFAULT_REGION}: set its region"
            )
        if code in ILL:
            return BucketUnusable(f"{place.server} fails now ({code}): sync again later")
        return S3Fault(f"{name or place.bucket}: {place.server} answered {code or 'with an error'}")


def _config(place: Place) -> Config:
    return Config(
        # Servers that only resemble S3 refuse the newer checksums; Content-MD5 guards what we send.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        retries={"mode": "standard", "max_attempts": 5},
        connect_timeout=5,
        read_timeout=60,
        max_pool_connections=CONNECTIONS,
        s3={"addressing_style": "path"} if place.endpoint_url else None,
    )


def _code(error: BaseException | None) -> str:
    if not isinstance(error, ClientError):
        return ""
    response: Mapping[str, Any] = error.response
    return str(response.get("Error", {}).get("Code", ""))


def _content_md5(params: dict[str, Any], **_: object) -> None:
    """Swift and other older servers want this header of a DeleteObjects; boto3 no longer sends it."""
    body = params["body"]
    params["headers"]["Content-MD5"] = _md5(body if isinstance(body, bytes) else body.encode())


def _described(name: str, sha256: str) -> dict[str, Any]:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return {"ContentType": kind, "Metadata": {"sha256": sha256}}


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode("ascii")
