"""Which right each method of the inference service needs where tokens are asked for."""

from inference import grpc_service_pb2 as pb

from services.rpc.authorisation import Right

SERVICE = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"]
INFER = f"/{SERVICE.full_name}/ModelInfer"
CONTROL = ("RepositoryModelLoad", "RepositoryModelUnload")
RIGHTS = {
    f"/{SERVICE.full_name}/{method.name}": Right.CONTROL if method.name in CONTROL else Right.INFERENCE
    for method in SERVICE.methods
}
"""Looking and predicting need `inference`; what changes which models are served needs `control`."""
