"""How a PyTorch network begins to learn: which weights stay as they are, and what batch normalisation starts from."""

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager

from torch import Tensor, nn

from dcasekit.containers._torch_distributed import moments

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


@contextmanager
def freeze(network: nn.Module, names: Collection[str]) -> Iterator[None]:
    """Keep some parameters and buffers of a network as they are for a while, whatever trains it.

    A module of which all tensors are frozen acts as in prediction: batch normalisation neither uses nor updates the statistics of a batch.
    """
    names = frozenset(names)
    with ExitStack() as stack:
        for name, parameter in network.named_parameters():
            if name in names and parameter.requires_grad:
                parameter.requires_grad_(False)
                stack.callback(parameter.requires_grad_, True)
        for prefix, module in network.named_modules():
            own = [*module.named_parameters(prefix, recurse=False), *module.named_buffers(prefix, recurse=False)]
            if own and all(name in names for name, _ in own):
                # Before each pass, since every epoch begins with network.train().
                stack.callback(module.register_forward_pre_hook(_set_to_prediction).remove)
        yield


@contextmanager
def warm_start_batch_norm(network: nn.Module) -> Iterator[None]:
    """Have batch normalisation that has seen no batch take over the statistics of its first one whole, not a hundredth or a tenth of them.

    With Keras' 0.99, a tenth of the zero and one that it starts with is left after 230 steps: enough for wrong answers.
    """
    norms = [norm for norm in network.modules() if isinstance(norm, _BATCH_NORMS) and norm.track_running_stats]
    waiting = set(norms)

    def take_over(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if norm in waiting and norm.training:
            waiting.discard(norm)
            if not norm.num_batches_tracked:  # it may have been trained before
                mean, variance, _ = moments(inputs[0].detach().float())
                norm.load_state_dict({"running_mean": mean, "running_var": variance}, strict=False)

    with ExitStack() as stack:
        for norm in norms:
            stack.callback(norm.register_forward_pre_hook(take_over).remove)
        yield


def _set_to_prediction(module: nn.Module, _inputs: object) -> None:
    module.training = False
