"""Make tiny datasets in their true form on disk, and check that a class keeps the contract of its family.

The project's own tests run these over every dataset, feature and model there is; run them over yours. What does not hold is said by a
`ContractError`::

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
