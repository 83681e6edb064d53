"""Names and classes: the folder is the list, and a class finds its way back."""

import importlib
import sys
from collections import OrderedDict
from email.message import EmailMessage

import pytest

import dcasekit
from dcasekit import datasets, features
from dcasekit.core import discover
from dcasekit.errors import NameNotFoundError

LEAVES = [(family, name) for family in ("datasets", "features") for name in discover.names(family)]


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """Write a module of one's own and make it importable; its name may hold a dot."""

    def make(name, text):
        monkeypatch.syspath_prepend(tmp_path)
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        for part in (name, name.partition(".")[0]):
            monkeypatch.delitem(sys.modules, part, raising=False)

    before = set(sys.modules)
    yield make
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_the_names_of_a_family_are_its_public_files():
    assert set(discover.names("features")) >= {"mel_spectrogram", "mfcc", "raw_audio", "spectrogram"}
    assert set(discover.names("datasets")) >= {"esc10", "esc50", "urban_sound8k"}
    for family in discover.FAMILIES:
        names = discover.names(family)
        assert list(names) == sorted(names)
        assert not any(name.startswith("_") for name in names)


def test_listing_imports_nothing():
    before = set(sys.modules)
    for family in discover.FAMILIES:
        discover.names(family)
    assert set(sys.modules) == before


@pytest.mark.parametrize(("family", "name"), LEAVES)
def test_a_leaf_is_found_by_stem_class_and_any_spelling(family, name):
    kind = discover.load(family, name)
    spellings = {name, kind.__name__, name.upper(), kind.__name__.lower(), name.replace("_", "-"), name.replace("_", "")}
    assert {discover.load(family, spelling) for spelling in spellings} == {kind}


@pytest.mark.parametrize(("family", "name"), LEAVES)
def test_a_class_s_address_leads_back_to_it(family, name):
    kind = discover.load(family, name)
    assert discover.address(kind) == name
    assert discover.load(family, discover.address(kind)) is kind


@pytest.mark.parametrize(("family", "name"), LEAVES)
def test_a_leaf_can_be_imported_from_its_family(family, name):
    kind = discover.load(family, name)
    assert getattr({"datasets": datasets, "features": features}[family], kind.__name__) is kind


@pytest.mark.parametrize("name", ["melspectrogram", "MelSpectogram", "NoSuchThing", "_nothing"])
def test_a_package_has_no_attribute_of_another_name(name):
    with pytest.raises(AttributeError, match=f"'dcasekit.features' has no attribute '{name}'"):
        getattr(features, name)


def test_every_public_name_of_the_package_exists():
    assert dcasekit.__all__ == sorted(dcasekit.__all__)
    assert set(dcasekit.__all__) <= set(dir(dcasekit))
    assert dcasekit.Event(0, 1, "dog").label == "dog"
    with pytest.raises(AttributeError, match="NoSuchThing"):
        _ = dcasekit.NoSuchThing


@pytest.mark.parametrize(
    ("family", "given", "meant"),
    [("datasets", "esc5O", "esc50"), ("datasets", "urbansound", "urban_sound8k"), ("features", "mel_spectogram", "mel_spectrogram"),
     ("features", "MFFC", "mfcc")],
)  # fmt: skip
def test_a_misspelt_name_is_answered_with_the_right_one(family, given, meant):
    with pytest.raises(NameNotFoundError) as caught:
        discover.load(family, given)
    message = str(caught.value)
    assert f"no {family[:-1]} named {given!r}. Did you mean {meant!r}?" in message
    assert all(name in message for name in discover.names(family))
    assert "'package.module:Class'" in message
    assert isinstance(caught.value, LookupError)


@pytest.mark.parametrize("name", ["xyz", "", "_base", "__init__", "../esc50"])
def test_a_name_close_to_nothing_gets_no_guess(name):
    with pytest.raises(NameNotFoundError, match="Known: ") as caught:
        discover.load("features", name)
    assert "Did you mean" not in str(caught.value)


def test_an_unknown_family_is_refused_and_the_known_ones_listed():
    with pytest.raises(NameNotFoundError, match="'sounds'; known: datasets, augmentations, features"):
        discover.names("sounds")


@pytest.mark.parametrize("kind", [OrderedDict, EmailMessage])
def test_any_class_has_an_address(kind):
    assert discover.load("features", discover.address(kind)) is kind


@pytest.mark.parametrize("name", ["mylab.cats", "features.cats", "models.cats", "dcasekit_cats"])
def test_a_class_of_one_s_own_is_found_by_its_address(own_module, name):
    """Also where the user's own package is called like one of our families."""
    own_module(name, "class Cats:\n    class Kittens:\n        pass\n")
    cats = discover.load("datasets", f"{name}:Cats")
    assert discover.address(cats) == f"{name}:Cats"
    assert discover.load("datasets", discover.address(cats)) is cats
    assert discover.load("datasets", discover.address(cats.Kittens)) is cats.Kittens


@pytest.mark.parametrize(
    "name",
    ["no.such.module:Class", "collections:NoSuchClass", "collections:", ":OrderedDict", ".collections:OrderedDict", "collections:A.B", ":"],
)
def test_an_address_that_leads_nowhere_is_refused(name):
    with pytest.raises(NameNotFoundError, match="Expected 'package.module:Class'"):
        discover.load("features", name)


def test_an_error_inside_one_s_own_module_is_not_hidden(own_module):
    own_module("broken_cats", "1 / 0\n")
    with pytest.raises(ZeroDivisionError):
        discover.load("datasets", "broken_cats:Cats")


@pytest.mark.parametrize(
    ("family", "theirs", "ours"),
    [
        ("augmentations", "time_stretching", "TimeStretch"),
        ("datasets", "URBAN_SED", "UrbanSED"),
        ("datasets", "SONYC_UST", "SONYCUST"),
        ("features", "Openl3", "OpenL3Embedding"),
        ("features", "VGGishEmbeddings", "VGGishEmbedding"),
        ("models", "ConcatenatedModel", "Concatenated"),
    ],
)
def test_names_of_the_papers_library_are_understood(family, theirs, ours):
    found = discover.load(family, theirs)
    assert found.__name__ == ours
    assert getattr(importlib.import_module(f"dcasekit.{family}"), theirs) is found
    assert theirs not in discover.names(family)
