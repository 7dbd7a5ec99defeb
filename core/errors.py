"""Domain errors. They know no transport: one interceptor and the CLI map them to gRPC and exit codes.

A message names the value, what was expected and what to do about it.
"""


class BakeoffError(Exception):
    """Base of every error Bakeoff raises on purpose."""


class InvalidInputError(BakeoffError):
    """The caller sent something wrong; repeating it unchanged cannot help."""


class NotFoundError(BakeoffError):
    """The named thing does not exist."""


class AlreadyExistsError(BakeoffError):
    """The name is taken by something else."""


class NotReadyError(BakeoffError):
    """It exists but cannot answer yet; trying again later helps."""


class UnsupportedError(BakeoffError):
    """The server that was asked does not have this call."""


class WrongStateError(BakeoffError):
    """A precondition is missing, for example data that was never prepared."""


class ExhaustedError(BakeoffError):
    """Full: queue, memory or message size. Trying again later, or with less, helps."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        """When trying again is likely to help, in seconds; None where nobody knows."""


class CancelledError(BakeoffError):
    """Stopped on request."""


class DeadlineError(BakeoffError):
    """The caller's time was up before the work began."""


class UnauthenticatedError(BakeoffError):
    """The caller did not say who it is, or not so that it can be believed."""


class DeniedError(BakeoffError):
    """The caller is known and may not do this."""


class DivergedError(BakeoffError):
    """Training left the finite numbers."""


class KilledError(BakeoffError):
    """A process that works for this one was killed, mostly for memory: as if this one had been."""


class MissingExtraError(BakeoffError):
    """A library that an optional part needs is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} is not installed here; install it with: pip install 'bakeoff[{extra}]'")
        self.extra = extra
