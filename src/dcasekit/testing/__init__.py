"""Make tiny datasets with the files of the real ones, and check that your own dataset, feature or model works like those of dcasekit.

Its own tests run these checks on every dataset, feature and model of dcasekit; run them on yours. A check that fails raises a
`ContractError`, whose message says what does not hold::

    testing.check_dataset(MyDataset("/tmp/a-small-part-of-it"))
    testing.check_feature(MyFeature(sr=16000))
    testing.check_model(MyModel(units=8), shape=(64, 40), labels=("cat", "dog"))
"""

from dcasekit.testing._contract import ContractError
from dcasekit.testing._datasets import check_dataset
from dcasekit.testing._features import check_feature
from dcasekit.testing._make import SMALL_TREE, make_dataset
from dcasekit.testing._models import check_model

__all__ = ["SMALL_TREE", "ContractError", "check_dataset", "check_feature", "check_model", "make_dataset"]
