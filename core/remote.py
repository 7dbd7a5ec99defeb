"""What errors of remote file systems mean. fsspec's backends raise what their libraries do, each another thing."""

from core.disk import NO_ROOM
from core.errors import BakeoffError, ExhaustedError, NotReadyError, WrongStateError

TAKEN = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409")
"""S3's codes for an object that must not exist and does, or is being made by somebody else."""
NO_CREDENTIALS = ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError")
"""botocore's errors, by name: it is not installed everywhere."""


def is_taken(error: BaseException) -> bool:
    """Whether an object that was to be created, not overwritten, was there already."""
    # Not every S3 server names the condition that failed, and s3fs goes by that name.
    response = getattr(error.__cause__, "response", None) or {}
    return isinstance(error, FileExistsError) or response.get("Error", {}).get("Code") in TAKEN


def meaning(error: Exception, what: str) -> BakeoffError:
    """The domain error for one of a file system, local or remote; `what` could not be done."""
    reason = f"{what}: {getattr(error, 'strerror', None) or error}"
    if getattr(error, "errno", None) in NO_ROOM:
        return ExhaustedError(f"{reason}; make room, or name another --cache")
    if type(error).__name__ in NO_CREDENTIALS:
        return WrongStateError(f"{reason}; for S3 set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
    if isinstance(error, PermissionError):
        return WrongStateError(f"{reason}; give the account, or this user, the right to, or name another place")
    return NotReadyError(f"{reason}; see that it can be reached")
