"""The configuration a model is served with: artifact.json decides what it takes and gives, config.pbtxt may tune."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from inference import model_config_pb2 as pb

from core.errors import InvalidInputError
from core.repository import config_pbtxt
from core.runtimes import devices
from core.schemas.artifact import Artifact
from services.serving.batcher import BatchPolicy
from services.serving.settings import ServingSettings
from services.serving.tuned import Choice
from services.serving.versions import VersionPolicy, parse_config, parse_policy, policy_of

INPUT, INPUT_TYPE = "image", "UINT8"
OUTPUT, OUTPUT_TYPE = "probabilities", "FP32"
ARTIFACT = "bakeoff.artifact"


@dataclass(frozen=True)
class ServedConfig:
    """What the handler checks requests against, and how they are batched."""

    shape: tuple[int, int, int]
    """Height, width, channels of the input."""
    classes: tuple[str, ...]
    max_request: int
    """Most images in one request."""
    policy: BatchPolicy
    threads: int
    """Of the runtime, for each instance."""
    message: pb.ModelConfig
    """What ModelConfig returns: the file with the effective batching, version policy and device written in."""

    def on(self, device: devices.Device) -> "ServedConfig":
        """The same, computed on a device."""
        message = pb.ModelConfig()
        message.CopyFrom(self.message)
        gpu = device == "cuda"
        for group in message.instance_group:
            group.kind = pb.ModelInstanceGroup.KIND_GPU if gpu else pb.ModelInstanceGroup.KIND_CPU
            # The runtimes take the first one.
            group.gpus[:] = [0] if gpu else []
        return replace(self, message=message)


def read_config(artifact: Artifact, path: Path, settings: ServingSettings, tuned: Choice | None = None) -> ServedConfig:
    """The effective configuration of a model; `path` is its config.pbtxt and may be missing.

    What config.pbtxt says goes first, then what was set for the server, then what was tuned, then the defaults.

    Raises:
        InvalidInputError: the file is not a model configuration, or contradicts artifact.json.
    """
    generated = text_format.Parse(config_pbtxt(artifact), pb.ModelConfig())
    config = parse_config(path) if path.is_file() else generated
    for field in ("name", "input", "output"):
        if getattr(config, field) != getattr(generated, field):
            raise InvalidInputError(
                f"{path}: {field} is {_show(config, field)}, expected {_show(generated, field)} as in artifact.json; "
                "put it right or publish the model again"
            )
    if config.max_batch_size < 1:
        raise InvalidInputError(f"{path}: max_batch_size is {config.max_batch_size}, expected 1 or more")
    queue = config.dynamic_batching.default_queue_policy
    if queue.timeout_action != pb.ModelQueuePolicy.REJECT:
        raise InvalidInputError(
            f"{path}: timeout_action is {pb.ModelQueuePolicy.TimeoutAction.Name(queue.timeout_action)}, expected "
            "REJECT: a request that waited too long is not put behind the others here"
        )
    policy = _policy(config, settings, tuned)
    message = _effective(config, policy, policy_of(config, parse_policy(settings.version_policy)))
    # config.pbtxt is one for all versions; how images become this version's input is in its own artifact.json.
    for key, parameter in generated.parameters.items():
        message.parameters[key].CopyFrom(parameter)
    # Which very files answer: who measures them can refuse others of the same name.
    message.parameters[ARTIFACT].string_value = artifact.digest
    return ServedConfig(
        shape=artifact.preprocess.shape,
        classes=artifact.classes,
        max_request=config.max_batch_size,
        policy=policy,
        threads=_threads(policy, settings, tuned),
        message=message,
    )


def _show(config: pb.ModelConfig, field: str) -> str:
    only: dict[str, Any] = {field: getattr(config, field)}
    return text_format.MessageToString(pb.ModelConfig(**only), as_one_line=True) or "missing"


def _policy(config: pb.ModelConfig, settings: ServingSettings, tuned: Choice | None) -> BatchPolicy:
    """The model's own wishes where it has any, the server's settings or what was tuned otherwise."""
    batching, queue = config.dynamic_batching, config.dynamic_batching.default_queue_policy

    def setting(name: str) -> int:
        told = tuned is None or name in settings.model_fields_set
        return int(getattr(settings if told else tuned, name))

    largest = max(batching.preferred_batch_size, default=setting("max_batch"))
    max_queue = queue.max_queue_size or settings.max_queue
    return BatchPolicy(
        max_batch=max(1, min(largest, config.max_batch_size)),
        max_delay_ns=1000 * (batching.max_queue_delay_microseconds or setting("max_delay_us")),
        max_queue=max(max_queue, config.max_batch_size),
        instances=sum(group.count for group in config.instance_group) or setting("instances"),
        timeout_us=queue.default_timeout_microseconds,
        may_shorten=queue.allow_timeout_override,
    )


def _threads(policy: BatchPolicy, settings: ServingSettings, tuned: Choice | None) -> int:
    """Each instance's share of the server's threads, unless another number was found better for as many instances."""
    if tuned is not None and tuned.instances == policy.instances and "threads" not in settings.model_fields_set:
        return tuned.threads
    return max(1, settings.threads // policy.instances)


def _effective(config: pb.ModelConfig, policy: BatchPolicy, versions: VersionPolicy) -> pb.ModelConfig:
    message = pb.ModelConfig()
    message.CopyFrom(config)
    versions.write(message)
    batching = message.dynamic_batching
    batching.preferred_batch_size[:] = [policy.max_batch]
    batching.max_queue_delay_microseconds = policy.max_delay_ns // 1000
    batching.default_queue_policy.max_queue_size = policy.max_queue
    del message.instance_group[:]
    message.instance_group.add(name=f"{config.name}_0", count=policy.instances, kind=pb.ModelInstanceGroup.KIND_CPU)
    return message
