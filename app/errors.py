"""Every failure that Wanwu names, drawn as a tree.

WanwuError
├── RequestError            the caller can mend it
│   ├── NoFile              no_file             400
│   ├── BadParameter        bad_parameter       400
│   ├── Forbidden           forbidden           403
│   ├── NotFound            not_found           404
│   ├── UnknownMode         unknown_mode        404
│   ├── UnknownVersion      unknown_version     404
│   ├── MethodNotAllowed    method_not_allowed  405
│   ├── TooSlow             too_slow            408
│   ├── Conflict            conflict            409
│   ├── Refused             refused             409
│   ├── TooLarge            too_large           413
│   ├── UnsupportedFormat   unsupported_format  415
│   ├── UnreadableImage     unreadable_image    422
│   ├── TooManyPixels       too_many_pixels     422
│   ├── BadModel            bad_model           422
│   └── RateLimited         rate_limited        429
├── ServiceError            the caller can wait, or ask the operator
│   ├── CallerGone          gone                503   nobody reads it: it is for the log and the metrics
│   ├── InternalError       internal            500
│   ├── Busy                busy                503
│   ├── NotReady            not_ready           503
│   ├── NotSaved            not_saved           503
│   ├── DeadlineExceeded    deadline            504
│   └── StorageFull         storage_full        507
└── OperatorError           never reaches a client: it stops a command, or is written to the log
    ├── ConfigError         a setting is wrong
    ├── WeightsError        base weights are missing, damaged or cannot be had
    ├── ModelError          a mode under models/ cannot be served, with the reason
    ├── ExportError         a mode cannot be written for other programs, or the file says something else
    └── DataError           labelled photos cannot be read, or are not enough to teach from

Each public error has a sentence in both languages; `{name}` in it is filled from the keyword arguments.
"""

from typing import ClassVar


class WanwuError(Exception):
    """The root: everything that Wanwu raises on purpose."""


class PublicError(WanwuError):
    """An error that a client is told of: HTTP `status`, stable `code`, one sentence in each language."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    sentence_en: ClassVar[str]
    sentence_zh: ClassVar[str]

    def __init__(self, *, retry_after_s: int | None = None, **values: object) -> None:
        self.values = values
        self.retry_after_s = retry_after_s
        super().__init__(self.sentence("en"))

    def sentence(self, lang: str) -> str:
        """The public sentence in `lang` ("zh" or "en")."""
        template = self.sentence_zh if lang == "zh" else self.sentence_en
        return template.format(**self.values)


class RequestError(PublicError):
    """The caller can mend it."""


class NoFile(RequestError):
    status, code = 400, "no_file"
    sentence_en = "No picture was sent: choose a file, or post one as the form field 'file'."
    sentence_zh = "没有收到图片：请选择文件，或用表单字段 file 上传。"


class BadParameter(RequestError):
    """Takes `name`, `en`, `zh`: what the parameter must be, in each language."""

    status, code = 400, "bad_parameter"
    sentence_en = "The parameter '{name}' is not valid: it must be {en}."
    sentence_zh = "参数 {name} 无效：应为{zh}。"


class Forbidden(RequestError):
    status, code = 403, "forbidden"
    sentence_en = "This action needs the administrator's token."
    sentence_zh = "此操作需要管理员令牌。"


class NotFound(RequestError):
    status, code = 404, "not_found"
    sentence_en = "There is nothing at this address."
    sentence_zh = "这个地址没有内容。"


class UnknownMode(RequestError):
    """Takes `mode`: the key that was asked for."""

    status, code = 404, "unknown_mode"
    sentence_en = "There is no mode called '{mode}' here."
    sentence_zh = "没有名为“{mode}”的模式。"


class UnknownVersion(RequestError):
    """Takes `mode`, `version`."""

    status, code = 404, "unknown_version"
    sentence_en = "The mode {mode} has no version called '{version}'."
    sentence_zh = "模式 {mode} 没有名为“{version}”的版本。"


class MethodNotAllowed(RequestError):
    status, code = 405, "method_not_allowed"
    sentence_en = "This address does not answer that kind of request."
    sentence_zh = "这个地址不支持这种请求方法。"


class Conflict(RequestError):
    status, code = 409, "conflict"
    sentence_en = "This has been decided or changed in the meantime: please look at it again."
    sentence_zh = "这一项刚刚已被处理或修改，请刷新后再看。"


class VersionInUse(Conflict):
    """Takes `mode`, `version`."""

    sentence_en = "The version {version} of {mode} is active or on trial, and cannot be deleted."
    sentence_zh = "模式 {mode} 的版本 {version} 正在使用或试用，不能删除。"


class AlreadyActive(Conflict):
    """Takes `mode`, `version`."""

    sentence_en = "The version {version} of {mode} is active already."
    sentence_zh = "模式 {mode} 的版本 {version} 已经在使用。"


class NothingEarlier(Conflict):
    """Takes `mode`."""

    sentence_en = "No earlier version of {mode} has served and is still there: there is nothing to go back to."
    sentence_zh = "模式 {mode} 没有用过且仍保留的旧版本，无法回退。"


class NeverServed(Conflict):
    """Takes `mode`, `version`."""

    sentence_en = (
        "The version {version} of {mode} has never served, so there is no going back to it: promote it instead."
    )
    sentence_zh = "模式 {mode} 的版本 {version} 从未使用过，不能回退到它；请改用“上线”（promote）。"


class BaseModeFixed(Conflict):
    sentence_en = "The base mode 'imagenet' stays as it is: it has no versions to change."
    sentence_zh = "基础模式 imagenet 固定不变，没有可更改的版本。"


class FileInTheWay(Conflict):
    """Takes `mode`, `file`."""

    sentence_en = "The file {file} serves the mode {mode} now: move it out of models/ first, then import it from there."
    sentence_zh = "模式 {mode} 目前由文件 {file} 提供：请先把它移出 models/，再从新位置导入。"


class Refused(RequestError):
    """Takes `reason`: what a ModelError says."""

    status, code = 409, "refused"
    sentence_en = "This cannot be done: {reason}."
    sentence_zh = "无法执行此操作：{reason}。"


class TooLarge(RequestError):
    """Takes `limit_mb`."""

    status, code = 413, "too_large"
    sentence_en = "The upload is larger than the limit of {limit_mb} MB."
    sentence_zh = "上传内容超过了 {limit_mb} MB 的上限。"


class TooManyFiles(TooLarge):
    """Takes `limit`."""

    sentence_en = "At most {limit} pictures can be sent at once."
    sentence_zh = "一次最多上传 {limit} 张图片。"


class UnsupportedFormat(RequestError):
    status, code = 415, "unsupported_format"
    sentence_en = "This file is not a picture in a format Wanwu reads (JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC)."
    sentence_zh = "无法识别这种文件：请使用 JPEG、PNG、WebP、GIF、BMP、TIFF、AVIF 或 HEIC 图片。"


class UnreadableImage(RequestError):
    status, code = 422, "unreadable_image"
    sentence_en = "This picture is damaged or incomplete and cannot be read."
    sentence_zh = "图片已损坏或不完整，无法读取。"


class TooManyPixels(RequestError):
    """Takes `limit`: the most pixels a picture may have."""

    status, code = 422, "too_many_pixels"
    sentence_en = "This picture has more than {limit_mp} million pixels, which is the limit."
    sentence_zh = "图片超过了 {limit_wan} 万像素的上限。"

    def __init__(self, *, limit: int) -> None:
        words: dict[str, object] = dict(self.in_words(limit))
        super().__init__(retry_after_s=None, **words)

    @staticmethod
    def in_words(limit: int) -> dict[str, str]:
        """The limit as each language counts: in millions, and in 万 (ten thousands)."""
        return {"limit_mp": f"{limit / 1e6:g}", "limit_wan": f"{limit / 1e4:g}"}


class BadModel(RequestError):
    """Takes `reason`: a ModelError's sentence."""

    status, code = 422, "bad_model"
    sentence_en = "{reason}."
    sentence_zh = "模型无法使用：{reason}。"


class RateLimited(RequestError):
    status, code = 429, "rate_limited"
    sentence_en = "Too many requests from this address: please wait a moment and try again."
    sentence_zh = "请求过于频繁，请稍后再试。"


class ServiceError(PublicError):
    """The caller can wait, or ask the operator."""


class CallerGone(ServiceError):
    status, code = 503, "gone"
    sentence_en = "The caller did not wait for the answer."
    sentence_zh = "请求方已断开，结果未送达。"


class InternalError(ServiceError):
    status, code = 500, "internal"
    sentence_en = "Something went wrong on the server; the operator can find the request id in the log."
    sentence_zh = "服务器内部出错；管理员可凭请求编号在日志中查找原因。"


class Busy(ServiceError):
    status, code = 503, "busy"
    sentence_en = "The server is busy: please try again in a few seconds."
    sentence_zh = "服务器繁忙，请几秒后重试。"


class NotReady(ServiceError):
    status, code = 503, "not_ready"
    sentence_en = "The server is starting: the models are not loaded yet."
    sentence_zh = "服务正在启动，模型尚未加载完成。"


class NotSaved(ServiceError):
    status, code = 503, "not_saved"
    sentence_en = "This could not be saved: the database does not answer just now. Please try again later."
    sentence_zh = "暂时无法保存：数据库没有响应，请稍后再试。"


class DeadlineExceeded(ServiceError):
    status, code = 504, "deadline"
    sentence_en = "The answer took too long and was given up: please try again."
    sentence_zh = "识别超时，请重试。"


class StorageFull(ServiceError):
    status, code = 507, "storage_full"
    sentence_en = "This could not be saved: the server's disk is full."
    sentence_zh = "无法保存：服务器的磁盘空间已满。"


class OperatorError(WanwuError):
    """A sentence for the operator; the command line prints it without a traceback."""


class ConfigError(OperatorError):
    """A setting is wrong; the sentence names it."""


class WeightsError(OperatorError):
    """Base weights are missing, damaged or cannot be had."""


class ModelError(OperatorError):
    """A mode cannot be served; the sentence is the reason, and names no path."""


class ExportError(OperatorError):
    """A mode cannot be written for other programs, or what was written does not say the same; the sentence says why."""


class DataError(OperatorError):
    """Labelled photos cannot be read, or are not enough to teach from; the sentence says what to do."""
