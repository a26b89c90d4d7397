"""A replica on a node of its own: its `models/` is a cache that it fills as it is asked."""

from pathlib import Path

import pytest

from app.cluster.replica import Replica
from app.errors import ModelError
from app.registry.versions import read_version
from tests.conftest import write_head
from tests.sites.conftest import Place


def away(*_: object) -> None:
    raise OSError


@pytest.mark.parametrize("shared_settings", ["s3"], indirect=True)
def test_a_replica_fetches_from_the_store_what_it_is_asked_for(
    here: Place, there: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = Replica(there.settings)
    written: Path = write_head(here.models, "birds", replica._base, ["owl", "kite"])
    mode = replica._mode("birds", "v1")
    assert (mode.key, mode.model.version) == ("birds", "v1")
    assert read_version(there.models / "birds" / "v1")[0] == read_version(written)[0]
    with pytest.raises(ModelError):
        replica._mode("fish", "v1")
    assert not (there.models / "fish").exists()
    with monkeypatch.context() as broken:
        broken.setattr(replica._site._store.documents, "read", away)  # type: ignore[union-attr]
        with pytest.raises(ModelError, match="birds v9 is not here yet, and the store does not answer"):
            replica._mode("birds", "v9")
