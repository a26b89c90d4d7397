"""What the Open Inference Protocol asks and answers, as pydantic models, which check requests; see `schemas`."""

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from app.serving.recogniser import MAX_FILES
from app.web.schemas import Confidence, Schema

Datatype = Literal["FP32", "BYTES"]
OutputName = Literal["probabilities", "sureness", "label"]
OUTPUTS: tuple[OutputName, ...] = get_args(OutputName)
_Sizes = Annotated[list[int], Field(description="The length of each dimension; in metadata -1: any.")]


class _Sent(BaseModel):
    """Types as they are, nothing converted; members that are not known here are passed over."""

    model_config = ConfigDict(strict=True, frozen=True)


class InferInputParameters(_Sent):
    """The binary extension; shared memory is not offered."""

    binary_data_size: Annotated[
        int | None, Field(ge=0, description="Bytes of this tensor behind the JSON, where it has no `data`.")
    ] = None
    shared_memory_region: Annotated[None, Field(description="Not offered.")] = None


class InferInput(_Sent):
    """Either `pixels`, FP32 `[n, 3, side, side]`, normalised as the model's metadata says; or `image`, BYTES `[n]`:
    encoded pictures, which in JSON are strings of base64."""

    name: Literal["pixels", "image"]
    datatype: Datatype
    shape: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1, max_length=4)]
    parameters: InferInputParameters = InferInputParameters()
    data: Annotated[list[Any] | None, Field(description="Row by row, nested as the shape or flat.")] = None


class InferOutputParameters(_Sent):
    """How one output is answered."""

    binary_data: Annotated[bool | None, Field(description="Behind the JSON; default: `binary_data_output`.")] = None
    classification: Annotated[
        int | None,
        Field(ge=1, description="Of `probabilities` only: the best so many as BYTES, confidence:index:label."),
    ] = None
    shared_memory_region: Annotated[None, Field(description="Not offered.")] = None


class InferOutput(_Sent):
    """An output that is wanted."""

    name: OutputName
    parameters: InferOutputParameters = InferOutputParameters()


class InferParameters(_Sent):
    """What holds for the whole request. Sequences are not offered."""

    threshold: Annotated[Confidence | None, Field(description="As of `POST /predict`.")] = None
    binary_data_output: Annotated[bool, Field(description="Answer all outputs behind the JSON.")] = False
    sequence_id: Annotated[None, Field(description="Not offered.")] = None


class InferRequest(_Sent):
    """A request to recognise pictures. Without `outputs` it is answered all three."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "1",
                    "inputs": [
                        {
                            "name": "image",
                            "datatype": "BYTES",
                            "shape": [1],
                            "data": [
                                "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
                            ],
                        }
                    ],
                    "outputs": [{"name": "label"}, {"name": "probabilities", "parameters": {"classification": 3}}],
                }
            ]
        }
    )

    id: Annotated[str | None, Field(max_length=256, description="Answered as it was sent.")] = None
    parameters: InferParameters = InferParameters()
    inputs: Annotated[
        list[InferInput], Field(min_length=1, max_length=1, description=f"One, of at most {MAX_FILES} pictures.")
    ]
    outputs: Annotated[list[InferOutput], Field(max_length=len(OUTPUTS))] = []


class ServerMetadata(Schema):
    """The answer to `GET /v2`."""

    name: str
    version: str
    extensions: list[str]


class ServerLive(Schema):
    """The answer to `GET /v2/health/live`."""

    live: Literal[True]


class ServerReady(Schema):
    """The answer to `GET /v2/health/ready`."""

    ready: Literal[True]


class ModelReady(Schema):
    """The answer to `GET /v2/models/{name}/ready`."""

    name: str
    ready: Literal[True]


class TensorMetadata(Schema):
    """What a tensor looks like. `parameters`, of `pixels` only: the mode's transform, by which it is made."""

    name: str
    datatype: Datatype
    shape: _Sizes
    parameters: dict[str, Any] | None = None


class ModelMetadata(Schema):
    """The answer to `GET /v2/models/{name}`; a request has one of the inputs."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class AnsweredTensor(Schema):
    """One output: `data`, or so many bytes behind the JSON as its `binary_data_size` says."""

    name: OutputName
    datatype: Datatype
    shape: _Sizes
    parameters: dict[str, int] | None = None
    data: list[float] | list[str] | None = None


class InferAnswer(Schema):
    """The answer to `POST /v2/models/{name}/infer`."""

    model_name: str
    model_version: str
    id: str | None = None
    outputs: list[AnsweredTensor]


class InferError(Schema):
    """What the protocol answers where something is refused."""

    error: Annotated[str, Field(description="One sentence.")]


ANSWERS: tuple[type[Schema], ...] = (
    ServerMetadata, ServerLive, ServerReady, ModelReady, ModelMetadata, InferAnswer, InferError
)  # fmt: skip
REQUESTS: tuple[type[BaseModel], ...] = (InferRequest,)
