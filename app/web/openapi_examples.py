"""An example of what is sent and answered, by the name of its schema; tests hold each against the schema."""

from typing import Any

EXAMPLES_IN_PATHS = {
    "mode": "birds",
    "name": "imagenet",
    "version": "v2",
    "key": "birds",
    "class_id": "c1",
    "photo_id": "8d47d30311580f72",
    "correction_id": "2fa9efb6aa79457aaad1f9f951912b40",
    "job_id": "648eaf51ec30722d",
}

_MODEL = {
    "name": "resnet18",
    "version": "imagenet1k_v1",
    "sha256": "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
    "precision": "float32",
    "origin": "models",
}
_CAT = {
    "index": 285,
    "label": "Egyptian cat",
    "label_short": "Egyptian cat",
    "label_zh": "埃及猫",
    "group": "cat",
    "group_zh": "猫",
    "confidence": 0.62,
}
_NAMES = {name: _CAT[name] for name in ("label", "label_short", "label_zh", "confidence")}
_ALBUM = {
    "key": "birds",
    "title_en": "Birds",
    "title_zh": "鸟",
    "created": "2026-11-24T20:00:00+00:00",
    "classes": [
        {
            "id": "c1",
            "label": "owl",
            "label_zh": "猫头鹰",
            "photos": [{"id": EXAMPLES_IN_PATHS["photo_id"], "width": 1024, "height": 768}],
        }
    ],
    "photos": 1,
    "problem": {"en": "Two classes at least are needed.", "zh": "至少需要两个类别。"},
    "job": None,
    "versions": [],
    "active": None,
}

EXAMPLES: dict[str, Any] = {
    "NewAlbum": {"title_en": "Birds", "title_zh": "鸟"},
    "AlbumTitles": {"title_en": "Birds of prey", "title_zh": "猛禽"},
    "NewClass": {"label": "owl", "label_zh": "猫头鹰"},
    "ClassNames": {"label": "tawny owl", "label_zh": "灰林鸮"},
    "SomePhotos": {"photos": [EXAMPLES_IN_PATHS["photo_id"]]},
    "MovedPhotos": {"photos": [EXAMPLES_IN_PATHS["photo_id"]], "to": "c1"},
    "TrainingOrder": {"resume": False},
    "CorrectionSent": {
        "request_id": "0b54e7f9a4b24c1f9d1c0c4f4d1f9a10",
        "place": 0,
        "mode": "birds",
        "version": "v1",
        "answer": "owl",
        "confidence": 0.62,
        "label": "kite",
    },
    "Review": {"action": "accept", "revision": 0},
    "PromotionOrder": {"version": "v2", "why": "more photos of owls"},
    "RetrainingOrder": {"why": "twenty corrections"},
    "ExportOrder": {"version": "v2", "format": "torchscript"},
    "TrialOrder": {"version": "v2", "kind": "split", "share": 0.1, "why": "is it better?"},
    "TrialEnd": {"why": "it is"},
    "ThresholdOrder": {"version": "v2", "threshold": 0.7, "why": "fewer wrong names"},
    "CompareOrder": {"first": "v1", "second": "v2"},
    "RollBack": {"to": "v1", "why": "v2 takes kites for owls"},
    "Prediction": {
        "request_id": "0b54e7f9a4b24c1f9d1c0c4f4d1f9a10",
        "mode": "imagenet",
        "threshold": 0.3,
        "model": _MODEL,
        "results": [
            {
                "filename": "cat.jpg",
                "unknown": False,
                **_NAMES,
                "sureness": 0.62,
                "top": [_CAT],
                "image": {"format": "JPEG", "width": 451, "height": 300},
            },
            {
                "filename": "notes.txt",
                "error": {
                    "code": "unsupported_format",
                    "detail": "This file is not a picture in a format Wanwu reads.",
                },
            },
        ],
        "timing_ms": {"decode": 2.1, "queue": 0.4, "infer": 24.0, "total": 28.3},
    },
    "Problem": {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "code": "no_file",
        "detail": "No picture was sent: choose a file, or post one as the form field 'file'.",
        "request_id": "0b54e7f9a4b24c1f9d1c0c4f4d1f9a10",
    },
    "Alive": {"status": "alive"},
    "CorrectionSaved": {
        "id": EXAMPLES_IN_PATHS["correction_id"],
        "status": "pending",
        "kind": "label",
        "label": "kite",
        "label_short": "kite",
        "label_zh": "鸢",
        "picture": "not_agreed",
    },
    "TakenBack": {"id": EXAMPLES_IN_PATHS["correction_id"], "status": "taken_back"},
    "AlbumShown": _ALBUM,
    "StartedJob": {
        "id": EXAMPLES_IN_PATHS["job_id"],
        "kind": "promote",
        "mode": "birds",
        "started": "2026-11-24T20:00:00Z",
        "ended": None,
        "exit_status": None,
        "state": "running",
        "result": None,
        "error": None,
        "output": "",
    },
    "Event": {
        "at": "2026-11-24T20:00:00Z",
        "action": "rollback",
        "version": "v1",
        "before": "v2",
        "by": "the administrator, from 127.0.0.1",
        "why": "v2 takes kites for owls",
        "forced": False,
        "threshold": None,
    },
}
