"""Settings of the serving service."""

from pathlib import Path
from typing import Annotated, Literal

import pydantic
from pydantic_settings import SettingsConfigDict

from core import cpu
from core.errors import BakeoffError
from core.formats import MAX_BATCH
from core.runtimes import devices
from services.rpc.settings import ServiceSettings
from services.serving.versions import PATTERN

Runtime = Literal["onnxruntime", "openvino", "openvino-bf16", "tensorflow", "pytorch"]
ModelControl = Literal["poll", "explicit", "none"]


class ServingSettings(ServiceSettings):
    """Serves the models of a repository over the Open Inference Protocol, with one runtime."""

    model_config = SettingsConfigDict(env_prefix="BAKEOFF_SERVING_")

    runtime: Runtime
    """onnxruntime, openvino or openvino-bf16 (ONNX), tensorflow (SavedModel and .keras) or pytorch (.pt2)."""
    transport: Literal["grpcio", "envoy"] = "grpcio"
    """grpcio, or envoy: Envoy takes the connections and runs the same handlers (extra `envoy`)."""
    repository: Annotated[str, pydantic.BeforeValidator(str)]
    """Models in Triton's layout, only read: a folder, or an fsspec URL (s3://bucket/models), which needs --cache."""
    device: devices.Wanted = "auto"
    """What models compute on; auto: a CUDA GPU where the runtime finds and can use one, else the CPU."""
    trust_repository: bool = False
    """Whoever writes the repository may run code here. Without it only plain ONNX is loaded."""
    model_control: ModelControl = "poll"
    """poll: load all and follow the repository; explicit: load what is asked for; none: load all, once."""
    load_model: tuple[str, ...] = ()
    """With explicit control: models to load at start (repeat the flag); the process ends when one cannot be."""
    poll_s: float = pydantic.Field(2.0, gt=0)
    """With poll control: seconds between looks at the repository."""
    version_policy: str = pydantic.Field("latest", pattern=PATTERN)
    """Versions of a model served at the same time: latest, latest:N or all; its config.pbtxt may say otherwise."""
    cache: Path | None = None
    """Folder for what this server learns about models on this machine, such as bakeoff tune's choices; unset: none."""
    tune_s: float = pydantic.Field(0.0, ge=0)
    """With --cache: seconds for which a model that was never tuned on this machine is measured after it is loaded, as
    bakeoff tune does it, in a process of lowest priority; then it changes to the choice. 0: never."""
    threads: int = pydantic.Field(default_factory=cpu.threads, ge=1)
    """CPU threads for all instances of a model together; by default what the CPU quota gives."""
    instances: int = pydantic.Field(default_factory=cpu.threads, ge=1)
    """Batches of a model computed at the same time; by default one for each thread."""
    max_batch: int = pydantic.Field(8, ge=1, le=1024)
    """Largest number of images computed at once."""
    max_delay_us: int = pydantic.Field(0, ge=0)
    """Microseconds an image may wait for company while an instance is idle."""
    max_queue: int = pydantic.Field(1024, ge=MAX_BATCH)
    """Images of a model that may wait; more are refused with RESOURCE_EXHAUSTED."""
    max_in_flight: int = pydantic.Field(1024, ge=1)
    """With transport envoy: calls of ModelInfer answered at the same time, for all models together; Envoy refuses more
    with RESOURCE_EXHAUSTED before Python hears of them."""
    quiet_s: float = pydantic.Field(0.5, ge=0)
    """After SIGTERM calls are accepted until none has come for this long, at most for `drain_s`."""

    @pydantic.model_validator(mode="after")
    def _remote_needs_cache(self) -> "ServingSettings":
        if "://" in self.repository and self.cache is None:
            raise ValueError(f"--repository {self.repository} is copied before it is loaded: give --cache a folder")
        return self

    @pydantic.model_validator(mode="after")
    def _remote_can_be_read(self) -> "ServingSettings":
        if "://" in self.repository:
            # Only here: whoever just starts a server, such as Envoy's process, need not wait for it.
            from core.mirror import check_url

            try:
                check_url(self.repository)
            except BakeoffError as error:
                raise ValueError(
                    f"--repository {self.repository} cannot be read here: {error}; S3 needs the extra s3, which "
                    "images of servers lack unless their name ends with -s3 (docs/deploy.md)"
                ) from error
        return self

    @pydantic.model_validator(mode="after")
    def _in_flight_needs_envoy(self) -> "ServingSettings":
        if self.transport != "envoy" and "max_in_flight" in self.model_fields_set:
            raise ValueError(f"--max-in-flight goes with --transport envoy, not {self.transport}; it has --max-queue")
        return self

    @pydantic.model_validator(mode="after")
    def _tuning_needs_cache(self) -> "ServingSettings":
        if self.tune_s and self.cache is None:
            raise ValueError("--tune-s keeps what it finds in the cache directory: give --cache a folder")
        return self

    @pydantic.model_validator(mode="after")
    def _load_model_needs_explicit(self) -> "ServingSettings":
        if self.load_model and self.model_control != "explicit":
            raise ValueError(f"--load-model goes with --model-control explicit, not {self.model_control}")
        return self
