"""Names of model files as people write them and as WebUIs tell them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui.drivers.a1111.model_names import ENDINGS, same_model

NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30).filter(
    lambda name: bool(name.strip())
)


@given(NAMES, st.sampled_from(["", "3830f7832d"]))
def test_equal_is_the_same_before_anything_is_taken_off(name: str, used_hash: str) -> None:
    assert same_model(name, name.strip(), used_hash)


@pytest.mark.parametrize("ending", [*ENDINGS, *(ending.upper() for ending in ENDINGS)])
@pytest.mark.parametrize("name", ["model", "model [v2]", "model.v2", "a [b] c", "mödel (1)"])
def test_an_ending_a_folder_and_a_hash_may_stand_there_or_not(name: str, ending: str) -> None:
    file = f"{name}.{ending}"
    for asked in (name, file, f"sd/xl/{file}", f"sd\\{file}", f"{file} [3830f7832d]", f"{name} [3830f7832d]"):
        for used_hash in ("", "3830f7832d"):
            assert same_model(asked, name, used_hash), (asked, used_hash)
    assert same_model(file, file)
    assert same_model(name, file)
    assert same_model(f"sd/{file}", f"sd_{name}")


@pytest.mark.parametrize(
    ("asked", "used", "used_hash"),
    [
        ("model [v2]", "model", ""),
        ("model [v2]", "model", "3830f7832d"),
        ("model", "model [v2]", ""),
        ("model [v2]", "model [v3]", ""),
        ("model [v2].safetensors", "model", "3830f7832d"),
        ("model.safetensors", "model.ckpt", ""),
        ("model.safetensors [2be4aa994a]", "model", "3830f7832d"),
        ("model.v1", "model", ""),
        ("mod", "model", "3830f7832d"),
        ("v2", "model", "v2"),
        ("", "", ""),
        ("", "model", ""),
        ("model", "", ""),
    ],
)
def test_another_model_is_another_one(asked: str, used: str, used_hash: str) -> None:
    assert not same_model(asked, used, used_hash)


def test_a_hash_alone_is_a_name_too() -> None:
    assert same_model("3830f7832d", "model", "3830f7832d")
    assert same_model("3830F7832D" + "0" * 54, "model", "3830f7832d")
    assert not same_model("2be4aa994a", "model", "3830f7832d")
