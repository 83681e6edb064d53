"""What the forms of Train order: the command of a run, put together of nothing but what the forms know."""

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dcasekit.app import _answers, _forms, _jobs, _models
from dcasekit.app._forms import FormError
from dcasekit.app._jobs import Job
from dcasekit.app._site import Site, Source
from dcasekit.core import discover
from dcasekit.errors import DcasekitError

KINDS = {"train": "Train a model", "tune": "Fine-tune a model", "recipe": "Run a recipe"}
_EPOCHS = 50  # where no other number is given

Chosen = Mapping[str, Any]


@dataclass(frozen=True)
class Fields:
    """The fields of all forms of the page, as the browser sent them.

    Parameters
    ----------
    ids, values : ids and values of the fields, see `_forms.read_form`.
    """

    ids: Sequence[Mapping[str, str]]
    values: Sequence[Any]

    def read(self, family: str, name: str) -> dict[str, str]:
        """Read the form of a feature, model ...: setting -> value as text; see `_forms.read_form`."""
        return _forms.read_form(family, name, self.ids, self.values)

    def words(self, option: str, family: str, name: str) -> list[str]:
        """Read the form of a feature, model ... as words of the command line."""
        return [word for setting, value in self.read(family, name).items() for word in (option, f"{setting}={value}")]


@dataclass(frozen=True)
class Order:
    """A command to run.

    Parameters
    ----------
    command : words of the command line.
    name : name of the run, unless the user gives one.
    facts : JSON values to store with the command, see `_jobs.new`.
    """

    command: Sequence[str]
    name: str
    facts: Mapping[str, Any]


def start(site: Site, chosen: Chosen, fields: Fields) -> Job:
    """Start the run that the forms describe.

    Parameters
    ----------
    site : what the server shows.
    chosen : values that are chosen outside the forms of settings, such as data and model.
    fields : the forms of settings.

    Raises
    ------
    DcasekitError : a value that no form offers.
    """
    makers: Mapping[str, Callable[[Site, Chosen, Fields], Order]] = {"train": _train, "tune": _tune, "recipe": _recipe}
    if chosen["kind"] not in makers:
        raise FormError("there is no such kind of run")
    order = makers[chosen["kind"]](site, chosen, fields)
    name = re.sub(r"[ /]", "-", str(chosen["name"] or order.name).strip())
    return _jobs.new(site.runs, name, [*order.command, "--quiet"], most=max(1, os.cpu_count() or 1), **order.facts)


def has_corrections(source: Source) -> bool:
    """Tell whether a source has corrected labels."""
    return _answers.corrections_of(source).is_file()


def freezable(site: Site, model: str) -> dict[str, str]:
    """Say what a saved model can keep while it is tuned: value of ``--freeze`` -> words."""
    found = {"all": "all but its head", "none": "nothing"}
    try:
        return found | {layer: f"up to {layer}" for layer in _models.find(site, model).layers() if layer not in found}
    except DcasekitError:  # it cannot be loaded, or has no layers: the run will say so
        return found


def data_of(site: Site, dataset: str) -> list[Source]:
    """Return the sources that a recipe can use for a dataset, one per folder."""
    found = {source.path: source for source in reversed(site.sources.values()) if source.name == dataset}
    return list(found.values())[::-1]


def _train(site: Site, chosen: Chosen, fields: Fields) -> Order:
    source, model = site.source(chosen["source"]), str(chosen["models"])
    command = ["train", *_data(site, source, chosen), "--model", model, *fields.words("-M", "models", model)]
    if feature := chosen["features"]:
        command += ["--feature", str(feature), *fields.words("-F", "features", str(feature))]
    return _learning(source, chosen, fields, command, model, f"{model} on {source.title}")


def _tune(site: Site, chosen: Chosen, fields: Fields) -> Order:
    source, model = site.source(chosen["source"]), str(chosen["tuned"])
    known = _models.models(site)
    if model not in known or chosen["freeze"] not in freezable(site, model):
        raise FormError("choose a saved model, and what it keeps")
    command = ["fine-tune", *_data(site, source, chosen), "--model", str(known[model].absolute()), "--freeze", chosen["freeze"]]
    name = model.removesuffix("/model")
    return _learning(source, chosen, fields, command, f"{name}-tuned", f"{name}, tuned on {source.title}")


def _recipe(site: Site, chosen: Chosen, fields: Fields) -> Order:
    name, small = str(chosen["recipe"]), bool(chosen["quick"])
    settings = fields.words("--set", "recipes", name)  # refuses what is no recipe
    command = ["run", name, *settings, *(["--quick"] if small else [])]
    taken = discover.module("recipes", name).DATASETS
    for dataset, key in chosen["data"].items():
        if not key:
            continue
        if dataset not in taken or key not in [source.key for source in data_of(site, dataset)]:
            raise FormError("the recipe takes no such data")
        command += ["--data", f"{dataset}={site.source(key).path}"]
    return Order(command, f"{name}-quick" if small else name, {"about": f"recipe {name}" + ", small settings" * small})


def _data(site: Site, source: Source, chosen: Chosen) -> list[str]:
    words = ["--dataset", source.name, "--data", str(source.path), "--cache", str((site.runs / ".app" / "cache").absolute())]
    words += [word for name, value in source.settings.items() for word in ("-D", f"{name}={value}")]
    if chosen["corrected"] and has_corrections(source):
        words += ["-D", f"corrections={_answers.corrections_of(source)}"]
    return words


def _learning(source: Source, chosen: Chosen, fields: Fields, command: Sequence[str], name: str, about: str) -> Order:  # noqa: PLR0913, PLR0917
    """Add to a command what training and tuning share."""
    fold, words = chosen["fold"], list(command)
    rounds = source.dataset.protocol.rounds(source.dataset.present_folds)
    if fold not in (None, "", "all", *rounds):
        raise FormError("there is no such fold")
    for each in chosen["augmentations"] or ():
        given = fields.read(f"augmentations:{each}", str(each))
        words += ["-A", f"{each}:" + ",".join(f"{field}={value}" for field, value in given.items())]
    words += [*fields.words("-T", "training", "training"), *(["--fold", fold] if fold else [])]
    epochs = fields.read("training", "training").get("epochs", "")
    facts = {
        "epochs": int(epochs) if epochs.isdigit() else _EPOCHS,
        "rounds": len(rounds) if fold == "all" else 1,
        "about": about + (f", {fold}" if fold else ""),
        "source": source.key,
    }
    return Order(words, f"{name}-{source.key}", facts)
