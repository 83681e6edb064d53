"""What `summary` says of models, against counts by hand, the published figures, and fields computed from kernels and strides."""

import json
import weakref
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from dcasekit.containers.summary import Published, published, summary
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.core import discover
from dcasekit.errors import MissingExtraError, ModelError
from dcasekit.features import MelSpectrogram
from dcasekit.models import CRNN2018, CRNN2023, MLP, SB_CNN, CompactCNN, DcaseNet
from dcasekit.models.sklearn import LogisticRegression

pytestmark = pytest.mark.usefixtures("one_thread")

LABELS = tuple("abcdefghij")
PAIR = {"first": {"class": "smel"}, "second": {"class": "sb_cnn_sed"}}

# Windows on which a model is tried: few dims where they are of no consequence for what is checked, and cost.
SHAPES = {
    "a_crnn": (24, 40),
    "crnn2018": (24, 64),
    "crnn2023": (24, 64),
    "crnn2023a": (24, 128),
    "keras.a_crnn": (24, 40),
    "keras.mst": (43, 512),
}
SHAPES |= {"keras.smel": (9, 1024), "keras.vggish": (96, 8), "keras.concatenated": (40, 1024)}
SHAPES |= {"open_l3": (199, 8), "vggish": (96, 8), "dcase_net": (251, 16), "concatenated": (40, 1024), "smel": (9, 1024), "mst": (43, 512)}
UNUSED = {"crnn2023a": {"attention"}}  # it answers for frames, and training asks it of whole windows as well
SETTINGS = {"concatenated": PAIR, "keras.concatenated": PAIR, "dcase_net": {"filters": 4}}


@dataclass(kw_only=True, eq=False)
class Own(TorchModelContainer):
    """A network made by a function of (frames, dims, outputs)."""

    make: object = field(default=lambda frames, dims, outputs: nn.Linear(dims, outputs), repr=False)

    def network_for(self, frames, dims, outputs, task):
        return self.make(frames, dims, outputs)


class OverTime(nn.Module):
    """Layers that take (windows, dims, frames), asked with and answering (windows, frames, dims)."""

    def __init__(self, *layers):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x.transpose(1, 2)).transpose(1, 2)


def own(network, shape=(64, 2), labels=LABELS):
    """Look into a network."""
    return summary(Own(make=lambda *_: network).build(shape, labels, task="detection"))


def field_of(*steps):
    """Frames that one output depends on, from (kernel, stride) of each layer, and dilation if any: 1 + sum of (k - 1) d times strides."""
    kernels = [(step[0] - 1) * (step[2] if len(step) > 2 else 1) for step in steps]
    return 1 + sum(kernel * jump for kernel, jump in zip(kernels, accumulate((step[1] for step in steps), int.__mul__, initial=1)))  # noqa: B905


# ---- all models


@pytest.mark.parametrize("name", discover.names("models"))
def test_of_every_model_the_layers_add_up(name):
    try:
        kind = discover.load("models", name)
    except MissingExtraError as error:
        pytest.skip(str(error))
    stated = published(kind)
    model = kind(**SETTINGS.get(name, {}))
    model.build(SHAPES.get(name) or (stated.shape if stated else (64, 64)), LABELS, task=stated.task if stated else "classification")
    found, cost = summary(model), model.cost()
    assert (found.macs, found.trained) == (cost["macs"], cost["parameters"])
    arrays = {key: array for key, array in model.weights().items() if not key.endswith("num_batches_tracked")}
    assert found.trained + found.not_trained == sum(array.size for array in arrays.values())
    assert found.output == model.answer(np.zeros((1, *model.shape), np.float32)).shape[1:]
    said = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert said["labels"] == len(LABELS)
    if not isinstance(model, TorchModelContainer):
        assert found.receptive_field is None
        assert ("totals only" in str(found)) == (not found.layers) == name.startswith("sklearn.")
    if found.layers:
        assert (sum(layer.trained for layer in found.layers), sum(layer.not_trained for layer in found.layers)) == (
            found.trained,
            found.not_trained,
        )
        shapes = model.layers()
        assert all(layer.output == shapes[layer.name] for layer in found.layers if layer.name in shapes)
    if not isinstance(model, TorchModelContainer):
        return
    assert sum(layer.macs for layer in found.layers) == cost["macs"]
    assert [layer.name for layer in found.layers if layer.name in shapes] == [
        one for one in shapes if one in {x.name for x in found.layers}
    ]
    assert {layer.name for layer in found.layers if layer.output is None} == UNUSED.get(name, set()), "a layer that is not used"
    assert 0 <= found.receptive_field.start < found.receptive_field.stop <= model.shape[0]
    assert 0 < found.prediction_bytes < found.training_bytes
    assert max(map(len, str(found).partition("\n\n")[0].splitlines())) < 100


BLOCK = [(3, 1), (3, 1)]  # two convolutions
THREE = [(3, 1)] * 3
FIELDS = {
    "a_crnn": THREE, "crnn2018": THREE, "crnn2023": THREE,
    "compact_cnn": [(3, 1), (2, 2)] * 3 + [(3, 1)],
    "dcase_net": (BLOCK + [(2, 2)]) * 3 + BLOCK + [(5, 5)],
    "mlp": [],
    "open_l3": (BLOCK + [(2, 2)]) * 3 + BLOCK,
    "sb_cnn": [(5, 1), (2, 2), (5, 1), (4, 4), (5, 1)],
    "sb_cnn_sed": [(5, 1), (2, 2), (5, 1), (2, 2), (5, 1)],
    "scene_cnn": [(5, 1), (4, 4), (5, 1), (2, 2)],
    "vggish": [(3, 1), (2, 2)] * 2 + (BLOCK + [(2, 2)]) * 2,
}  # fmt: skip


@pytest.mark.parametrize("name", FIELDS)
def test_what_the_convolutions_of_a_model_see_is_what_kernels_and_strides_say(name):
    model = discover.load("models", name)(**SETTINGS.get(name, {}))
    model.build(SHAPES.get(name, (128, 64)), LABELS, task="detection" if name == "dcase_net" else "tagging")
    assert len(summary(model).local_receptive_field) == field_of(*FIELDS[name])


@pytest.mark.parametrize("name", ["crnn2018", "crnn2023", "dcase_net"])
def test_a_bidirectional_recurrence_sees_the_whole_window(name):
    model = discover.load("models", name)(**SETTINGS.get(name, {})).build(SHAPES.get(name, (90, 64)), LABELS, task="detection")
    found = summary(model)
    assert found.receptive_field == range(model.shape[0])
    assert "the whole window" in found.facts()["receptive field"]


def test_one_direction_sees_the_past_and_three_convolutions_ahead():
    model = discover.load("models", "a_crnn")()
    assert summary(model.build((24, 40), LABELS, task="detection")).receptive_field == range(12 + 1 + 3)
    assert summary(model.build((24, 40), LABELS, task="tagging")).receptive_field == range(24)


def test_frames_that_pooling_leaves_over_are_seen_by_nothing():
    """64 -> 60 -> 30 -> 26 -> 6 of 4, and 2 left over: of 24 pooled frames the last one begins at 2 * 23 and ends at 14 later."""
    found = summary(SB_CNN().build((64, 128), LABELS))
    assert found.receptive_field == range(2 * 23 + 14)
    assert found.facts()["receptive field"] == "60 frames (1.85 s) of 64, numbers 0 to 59; the others have no influence"
    assert summary(CompactCNN().build((64, 64), LABELS)).receptive_field == range(64)


def test_a_learned_front_end_sees_its_window_of_samples_only():
    assert summary(discover.load("models", "smel")().build((9, 1024), LABELS)).receptive_field == range(4, 5)
    # 1024 samples every 512, begun 256 early, then 3 and 3 frames: 3072 samples from 256 before a row of 512, so 7 rows.
    assert len(summary(discover.load("models", "mst")().build((43, 512), LABELS)).receptive_field) == 7


# ---- the receptive field of other networks


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=3))
@example([(3, 1, 1), (3, 1, 2), (3, 1, 4)])
@example([(5, 2, 1), (3, 2, 1)])
def test_the_field_of_any_stack_of_convolutions_is_that_of_the_formula(steps):
    layers = [nn.Conv1d(2, 2, kernel, stride=stride, dilation=dilation) for kernel, stride, dilation in steps]
    found = own(OverTime(*layers), shape=(160, 2))
    assert len(found.receptive_field) == field_of(*steps)
    assert found.local_receptive_field is None


@pytest.mark.parametrize("pool", [nn.MaxPool1d, nn.AvgPool1d])
def test_the_field_of_convolutions_and_poolings(pool):
    layers = [nn.Conv1d(2, 4, 3, padding=1), nn.ReLU(), pool(2), nn.Conv1d(4, 4, 3, padding=1), pool(2), nn.Conv1d(4, 2, 3, padding=1)]
    found = own(OverTime(*layers))
    assert len(found.receptive_field) == field_of((3, 1), (2, 2), (3, 1), (2, 2), (3, 1)) == 18
    assert found.output == (16, 2)


def test_a_layer_that_never_reacts_still_sees():
    """Weights of zero, and rectifiers that let nothing pass: a field found by gradients would be empty."""
    network = OverTime(nn.Conv1d(2, 2, 3, padding=1), nn.ReLU(), nn.Conv1d(2, 2, 3, padding=1))
    for parameter in network.parameters():
        nn.init.zeros_(parameter)
    nn.init.constant_(network.layers[0].bias, -1)
    assert own(network).receptive_field == range(30, 35)


def test_a_causal_network_sees_nothing_ahead():
    found = own(OverTime(nn.ConstantPad1d((4, 0), 0.0), nn.Conv1d(2, 2, 5)))
    assert found.receptive_field == range(28, 33)
    recurrent = nn.Sequential(nn.GRU(2, 3, batch_first=True), First(), nn.Linear(3, 10))
    assert own(recurrent).receptive_field == range(33)
    assert "33 frames of 64, numbers 0 to 32, for output 32 of 0 to 63" in str(own(recurrent))


class First(nn.Module):
    def forward(self, pair):
        return pair[0]


def test_attention_and_normalisation_over_time_see_the_whole_window():
    assert own(nn.TransformerEncoderLayer(2, 1, 4, batch_first=True)).receptive_field == range(64)
    assert own(OverTime(nn.InstanceNorm1d(2))).receptive_field == range(64)


def test_a_network_that_answers_the_same_or_nothing_at_all():
    class Constant(nn.Module):
        def forward(self, x):
            return torch.ones(len(x), 10)

    assert "no frame" in own(nn.Sequential(nn.Linear(2, 2), Constant())).facts()["receptive field"]
    broken = nn.Linear(2, 10)
    nn.init.constant_(broken.bias, float("nan"))
    assert own(broken).receptive_field is None
    assert own(nn.Linear(2, 10), shape=(1, 2)).receptive_field == range(1)


# ---- numbers


def test_crnn2023_by_our_counting_and_by_its_authors():
    found = summary(CRNN2023().build((200, 64), LABELS + tuple("klmnopq"), task="detection"))
    assert (found.macs, found.trained) == (562_080_000, 380_113)
    assert round(found.macs_torchinfo / 1e6, 3) == 563.741
    assert found.table().columns == ["layer", "kind", "output", "trained", "other", "MACs"]
    assert "562,080,000 multiply-accumulates" in str(found)
    assert "563.741 M as torchinfo counts" in str(found)
    assert round(found.weight_bytes / 1e6, 2) == 1.52
    dropout = next(layer for layer in found.layers if layer.name == "dropout")
    assert (dropout.uses, dropout.output) == (3, (128, 200, 3))


def test_multiply_accumulates_stand_at_the_layer_that_makes_them():
    found = {layer.name: layer for layer in summary(CRNN2018().build((50, 64), LABELS)).layers}
    assert found["convolutions.5"].macs == 50 * 16 * 64 * 64 * 9
    assert found["gru"].macs == 50 * 2 * 3 * 64 * (64 + 64)  # a loop in a module of our own
    assert (found["out"].macs, found["out"].trained, found["out"].output) == (50 * 128 * 10, 1_290, (50, 10))
    assert (found["convolutions.1"].trained, found["convolutions.1"].not_trained) == (128, 128)


def test_what_a_network_does_outside_its_layers_is_counted_too():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inside, self.alias, self.unused = nn.Linear(2, 10, bias=False), nn.Linear(2, 10, bias=False), nn.Linear(5, 5)
            self.alias.weight = self.inside.weight
            self.scale = nn.Parameter(torch.ones(2, 2))

        def forward(self, x):
            return self.inside(x @ self.scale) + self.alias(x)

    found = own(Mixed())
    assert found.table().columns == ["layer", "kind", "output", "trained", "MACs"]  # nothing is kept
    layers = {layer.name: (layer.trained, layer.macs, layer.output) for layer in found.layers}
    assert layers == {"": (4, 64 * 4, None), "inside": (20, 64 * 20, (64, 10)), "alias": (0, 64 * 20, (64, 10)), "unused": (30, 0, None)}
    assert [row[0] for row in found.table().rows][-2:] == ["(between layers)", "unused"]
    assert found.table().rows[-1][2] == "not used"


def test_memory_of_a_network_that_can_be_counted_by_hand():
    found = own(nn.Sequential(nn.Linear(12, 128), nn.ReLU(), nn.Linear(128, 10)), shape=(64, 12))
    wide, narrow = 4 * 64 * 128, 4 * 64 * 12
    assert found.prediction_bytes == narrow + 2 * wide  # before and after the rectifier, and the input
    numbers = 12 * 128 + 128 + 128 * 10 + 10
    assert found.weight_bytes == 4 * numbers
    assert found.training_bytes == 4 * 4 * numbers + 32 * (narrow + wide)  # inputs of the dense layers, one of them the rectifier's output


class Peak(TorchDispatchMode):
    """Follow the tensors of every single operation, those of the backward pass too: `peak` bytes were alive at once."""

    def __init__(self, known):
        super().__init__()
        self.known, self.alive, self.peak = {memory(tensor) for tensor in known}, {}, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        for tensor in output if isinstance(output, tuple | list) else [output]:
            if isinstance(tensor, torch.Tensor) and memory(tensor) not in self.known:
                self.alive[memory(tensor)] = tensor.untyped_storage().nbytes()
        self.alive = {each: size for each, size in self.alive.items() if each() is not None}
        self.peak = max(self.peak, sum(self.alive.values()))
        return output


def memory(tensor):
    return weakref.ref(tensor.untyped_storage())


def test_memory_of_training_is_what_a_training_step_takes():
    """All tensors of a step are followed; gradients of activations, which come and go, are what the estimate leaves out."""
    model = CompactCNN().build((64, 64), LABELS)
    x = torch.rand(32, 64, 64)
    with Peak([*model.network.parameters(), *model.network.buffers()]) as followed:
        model.network.train()(x).sum().backward()
    moments = 2 * 4 * model.cost()["parameters"]
    took = followed.peak + 4 * x.numel() + moments + sum(array.nbytes for array in model.weights().values())
    assert 0.75 * took < summary(model).training_bytes < took


@pytest.mark.parametrize("name", [name for name in discover.names("models") if "." not in name])
def test_memory_of_prediction_is_that_of_single_operations(name):
    """Calls of PyTorch are followed, by its public interface; what is inside one of them, such as a recurrence, is not in sight."""
    model = discover.load("models", name)(**SETTINGS.get(name, {})).build(SHAPES.get(name, (64, 64)), LABELS)
    window = torch.rand(1, *model.shape)
    with torch.inference_mode(), Peak([*model.network.parameters(), *model.network.buffers()]) as followed:
        model.network.eval()(window)
    assert 0.5 * followed.peak <= summary(model).prediction_bytes <= followed.peak + 4 * window.numel()


def test_each_answer_that_is_held_counts_once():
    found = summary(DcaseNet(filters=4).build((251, 16), LABELS, task="detection"))
    assert (found.output, found.steps) == ((251, 10), 6)
    assert "one output per frame, of which 6 differ" in str(found)
    assert summary(CRNN2018().build((80, 64), LABELS, task="detection")).steps == 80


# ---- seconds, refusals, the model itself


def test_seconds_come_from_the_front_end_else_from_the_publication():
    @dataclass(kw_only=True, eq=False)
    class Stated(Own):
        PUBLISHED_FOR = Published(shape=(64, 2), hop=0.02)

    model = Stated(make=lambda *_: OverTime(nn.Conv1d(2, 10, 5, padding=2))).build((50, 2), LABELS, task="detection")
    found = summary(model)
    assert found.facts()["receptive field"] == "5 frames (0.1 s)"
    assert found.to_dict()["receptive_field"] == {"frames": 5, "first": 23, "stop": 28, "whole": False, "seconds": 0.1}
    assert found.facts()["input"] == "50 frames x 2 dims: 1 s, 0.02 s per frame"
    assert found.to_dict()["answers_per_second"] == 50
    model.features = MelSpectrogram(audio_hop=441)
    assert summary(model).hop == 441 / 22050
    assert summary(Stated().build((64, 3), LABELS)).hop is None  # other dims: another front end


def test_what_cannot_be_looked_into_is_refused_with_the_reason():
    with pytest.raises(ModelError, match="has no network yet"):
        summary(MLP())
    with pytest.raises(ModelError, match=r"CompactCNN cannot predict windows of \(4, 64\)"):
        summary(CompactCNN().build((4, 64), LABELS))


def test_looking_into_a_model_changes_nothing():
    model = CompactCNN().build((64, 40), LABELS)
    model.network.train()
    before, state = {name: array.copy() for name, array in model.weights().items()}, torch.get_rng_state()
    summary(model)
    assert model.network.training
    assert torch.equal(torch.get_rng_state(), state)
    assert all(np.array_equal(array, before[name]) for name, array in model.weights().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.network.modules())


def test_a_trained_model_of_scikit_learn_has_totals():
    rng = np.random.default_rng(0)
    model = LogisticRegression()
    assert "none yet" in str(summary(LogisticRegression().build((4, 3), LABELS)))
    model.train((rng.normal(size=(30, 4, 3)), np.eye(3)[np.arange(30) % 3]))
    found = summary(model)
    assert (found.trained, found.macs) == (model.cost()["parameters"], model.cost()["macs"])
    assert (found.layers, found.receptive_field, found.training_bytes) == ((), None, None)
    assert found.weight_bytes > 0


@pytest.mark.parametrize("name", [name for name in discover.names("models") if "." not in name])
def test_every_pytorch_model_states_what_it_was_published_for(name):
    kind = discover.load("models", name)
    stated = published(kind)
    assert stated is not None
    model = kind(**stated.settings).build(stated.shape, tuple(map(str, range(stated.labels))), task=stated.task)
    assert model.shape == stated.shape
