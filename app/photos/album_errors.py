"""What goes wrong with albums, as errors that a person is told of."""

from app.errors import Conflict, NotFound, RequestError, ServiceError


class UnknownAlbum(NotFound):
    """Takes `key`."""

    sentence_en = "There are no photos for a mode called '{key}' here."
    sentence_zh = "这里没有名为“{key}”的模式的照片。"


class KeyTaken(Conflict):
    """Takes `key`."""

    sentence_en = "The name '{key}' is taken by another mode: please choose another."
    sentence_zh = "标识“{key}”已被另一个模式占用，请换一个。"


class NameTaken(Conflict):
    """Takes `name`."""

    sentence_en = "There is a class called '{name}' already."
    sentence_zh = "已经有名为“{name}”的类别。"


class TooManyClasses(Conflict):
    """Takes `limit`."""

    sentence_en = "A mode can have {limit} classes at most."
    sentence_zh = "一个模式最多 {limit} 个类别。"


class AlbumFull(Conflict):
    """Takes `limit`."""

    sentence_en = "A mode can have {limit} photos at most."
    sentence_zh = "一个模式最多 {limit} 张照片。"


class InAnotherClass(Conflict):
    """Takes `name`, `name_zh`: of the class that has the photo."""

    sentence_en = "This photo is in the class '{name}' already: move it from there if it belongs here."
    sentence_zh = "这张照片已在类别“{name_zh}”中；如果它属于这里，请从那边移过来。"


class NotEnough(Conflict):
    """Takes `en`, `zh`: what is missing, a sentence in each language."""

    code = "not_enough"
    sentence_en = "{en}"
    sentence_zh = "{zh}"


class BadArchive(RequestError):
    """Takes `reason`: a DataError's sentence."""

    status, code = 422, "bad_archive"
    sentence_en = "{reason}"
    sentence_zh = "这个压缩包无法使用：它可能已损坏、有密码、过大，或者里面的照片没有按类别分文件夹存放。"


class CannotTeach(ServiceError):
    status, code = 503, "cannot_teach"
    sentence_en = "This server cannot teach yet: what training needs is not installed. The operator runs: make teach"
    sentence_zh = "这台服务器还不能训练：缺少训练所需的组件。请管理员运行：make teach"
