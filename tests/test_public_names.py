"""What `import dcasekit` offers: few names, lazily, and a plain error for any other."""

import importlib

import pytest

import dcasekit
from dcasekit.core import discover

# Change this list only together with docs and CHANGELOG.
DOCUMENTED = [
    "AugmentedDataset",
    "Clip",
    "DataGenerator",
    "Dataset",
    "DcasekitError",
    "Event",
    "FeatureExtractor",
    "ModelContainer",
    "Report",
    "Results",
    "Scaler",
    "Scores",
    "TorchModel",
    "Training",
    "load",
    "to_events",
]


def test_the_public_names_are_the_documented_ones():
    assert list(dcasekit.__all__) == DOCUMENTED
    assert len(DOCUMENTED) <= 30


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_public_name_can_be_imported(name):
    found = getattr(dcasekit, name)
    assert found.__name__ == name
    assert found.__doc__
    assert name in dir(dcasekit)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Trainer'"):
        _ = dcasekit.Trainer
    assert not hasattr(dcasekit, "__no_such_thing__")


@pytest.mark.parametrize(
    ("family", "name"),
    [
        ("datasets", "ESC50"),
        ("datasets", "ESC10"),
        ("datasets", "UrbanSound8k"),
        ("features", "MelSpectrogram"),
        ("features", "Spectrogram"),
        ("models", "SB_CNN"),
        ("models", "MLP"),
    ],
)
def test_a_family_serves_its_leaves(family, name):
    found = getattr(importlib.import_module(f"dcasekit.{family}"), name)
    assert found.__name__ == name
    assert found is discover.load(family, name)
    assert found is discover.load(family, discover.address(found))


@pytest.mark.parametrize(
    "family", [family for family in discover.FAMILIES if family not in ("metrics", "recipes", "annotations.formats", "containers.loggers")]
)
def test_every_leaf_is_served_under_its_own_name_and_no_other(family):
    package = importlib.import_module(f"dcasekit.{family}")
    for stem in discover.names(family):
        found = discover.load(family, stem)
        home = importlib.import_module(f"dcasekit.{family}.{stem}".rpartition(".")[0])  # its own folder's, if it lies deeper
        assert getattr(home, found.__name__) is found
    for wrong in ("NoSuchThing", "_base_", "esc_50x"):
        with pytest.raises(AttributeError, match=wrong):
            getattr(package, wrong)


def test_the_documented_exports_of_the_families_exist():
    for family in ("datasets", "features", "augmentations"):
        package = importlib.import_module(f"dcasekit.{family}")
        for name in package.__all__:
            assert getattr(package, name).__name__ == name
